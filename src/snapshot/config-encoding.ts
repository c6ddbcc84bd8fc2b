/** Writes the config blob. */
import type { Canonical } from '../core/canonical.js';
import type { Sha256 } from '../core/platform.js';
import { CUT_ALGORITHMS, CONFIG_FORMAT, CONFIG_MAGIC, type RepositoryConfig } from './config.js';
import { seal } from './seal.js';

/** The bytes of the config blob. */
export function encodeConfig({ id, packBytes, ...cuts }: RepositoryConfig, sha256: Sha256): Uint8Array {
  const algorithms = Object.fromEntries(
    Object.entries(cuts).map(([name, options]) => [
      name,
      {
        algorithm: CUT_ALGORITHMS[name as keyof typeof CUT_ALGORITHMS],
        ...(options as unknown as { readonly [key: string]: Canonical }),
      },
    ]),
  );
  return seal(CONFIG_MAGIC, { format: CONFIG_FORMAT, id, packBytes, ...algorithms }, sha256);
}
