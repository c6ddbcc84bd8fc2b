/**
 * The config of a repository: its format, its identity, and the parameters by which content is cut.
 *
 * Parameters are kept by name and value, so a repository is always read and continued with those it was made with, whatever
 * the defaults have become since.
 */
import { toHex } from '../core/bytes.js';
import { asMap, type Canonical, quoteValue } from '../core/canonical.js';
import { VecsnapError } from '../core/errors.js';
import { checkLocalMinimumOptions, type LocalMinimumOptions } from '../core/local-minimum.js';
import type { RandomBytes, Sha256 } from '../core/platform.js';
import {
  checkFixedOptions,
  checkGearOptions,
  checkRowGroupOptions,
  DEFAULT_FIXED,
  DEFAULT_GEAR,
  DEFAULT_ROW_GROUPS,
  type FixedOptions,
  type GearOptions,
  type RowGroupOptions,
} from '../chunker/parameters.js';
import { isOfFamily, unseal } from './sealed-blob.js';

/** See the head of this file. */
export interface RepositoryConfig {
  /** 32 hexadecimal digits, random. */
  readonly id: string;
  readonly rowGroups: RowGroupOptions;
  readonly gear: GearOptions;
  readonly fixed: FixedOptions;
  readonly nodes: LocalMinimumOptions;
  /** A pack is written when its chunks reach this many bytes. */
  readonly packBytes: number;
}

/** The name of the blob. */
export const CONFIG_BLOB = 'config';

export const CONFIG_MAGIC = 'vsnconf';
export const CONFIG_FORMAT = 1;
/** Nodes of 65 entries in the mean. */
const DEFAULT_NODE_CUTS: LocalMinimumOptions = { window: 32, max: 1024 };
const DEFAULT_PACK_BYTES = 16 * 1024 * 1024;
/** The algorithms that the parameters belong to. Another algorithm gets another name. */
export const CUT_ALGORITHMS = {
  rowGroups: 'local-minimum-1',
  gear: 'fastcdc-gear32-1',
  fixed: 'fixed-1',
  nodes: 'local-minimum-1',
};

/** The config of a new repository. @throws RangeError for parameters that content cannot be cut by. */
export function newConfig(
  random: RandomBytes,
  overrides: Partial<Omit<RepositoryConfig, 'id'>> = {},
): RepositoryConfig {
  const config = {
    id: toHex(random(16)),
    rowGroups: DEFAULT_ROW_GROUPS,
    gear: DEFAULT_GEAR,
    fixed: DEFAULT_FIXED,
    nodes: DEFAULT_NODE_CUTS,
    packBytes: DEFAULT_PACK_BYTES,
    ...overrides,
  };
  checkParameters(config);
  return config;
}

/** @throws VecsnapError NOT_A_REPOSITORY, REPOSITORY_DAMAGED, REPOSITORY_NEWER. */
export function decodeConfig(bytes: Uint8Array, place: string, sha256: Sha256): RepositoryConfig {
  const unsealed = unseal(CONFIG_MAGIC, bytes, sha256);
  // Another blob of ours in the place of the config is a repository whose files have wrong names.
  const isForeign = 'flaw' in unsealed && unsealed.flaw === 'foreign' && !isOfFamily(bytes);
  if (isForeign) throw notARepository(place);
  if ('flaw' in unsealed) throw configDamaged(place);
  const config = asMap(unsealed.value);
  if (config === undefined) throw configDamaged(place);
  if (config['format'] !== CONFIG_FORMAT) throw newerFormat(place, config['format']);
  for (const [name, algorithm] of Object.entries(CUT_ALGORITHMS)) {
    const found = asMap(config[name])?.['algorithm'];
    if (found !== algorithm) throw newerFormat(place, found);
  }
  return checkedConfig(config, place);
}

function checkParameters({ rowGroups, gear, fixed, nodes, packBytes }: Omit<RepositoryConfig, 'id'>): void {
  checkRowGroupOptions(rowGroups);
  checkGearOptions(gear);
  checkFixedOptions(fixed);
  checkLocalMinimumOptions(nodes);
  if (!(Number.isSafeInteger(nodes.max) && nodes.max <= 2 ** 20))
    throw new RangeError(`nodes.max must be a whole number up to 2^20: ${nodes.max}`);
  if (!(Number.isSafeInteger(packBytes) && packBytes >= 1 && packBytes <= 2 ** 30))
    throw new RangeError(`packBytes must be from 1 to 2^30: ${packBytes}`);
}

function checkedConfig(config: { readonly [key: string]: Canonical }, place: string): RepositoryConfig {
  const { id, rowGroups, gear, fixed, nodes, packBytes } = config as unknown as RepositoryConfig;
  try {
    if (typeof id !== 'string') throw new TypeError('it has no id');
    checkParameters({ rowGroups, gear, fixed, nodes, packBytes });
  } catch (cause) {
    throw configDamaged(place, cause);
  }
  return { id, rowGroups, gear, fixed, nodes, packBytes };
}

/** What helps when the config cannot be read. */
export const CONFIG_REMEDY =
  'Run vecsnap repair, which mends it, finds it under another name, or makes it anew; or put the file config back from another copy of the repository.';

/** A place that holds something else. @param hasContent whether there are packs or snapshots, or what is called so. */
export function notARepository(place: string, hasContent = false): VecsnapError {
  return new VecsnapError('NOT_A_REPOSITORY', 'This is not a vecsnap repository.', {
    place,
    remedy: hasContent
      ? 'If there was a repository here, something has taken the place of its file config: run vecsnap repair. Else check the path.'
      : 'Check the path, or make a repository at another one: vecsnap init REPO.',
  });
}

function configDamaged(place: string, cause?: unknown): VecsnapError {
  return new VecsnapError('REPOSITORY_DAMAGED', 'The config of the repository is damaged.', {
    place: `${place}, config`,
    remedy: CONFIG_REMEDY,
    cause,
  });
}

function newerFormat(place: string, found: Canonical | undefined): VecsnapError {
  return new VecsnapError(
    'REPOSITORY_NEWER',
    `The repository has a format (${quoteValue(found)}) that this vecsnap does not know.`,
    {
      place,
      remedy: 'Install a newer version of vecsnap.',
    },
  );
}
