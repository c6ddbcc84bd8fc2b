/** The name of the collection of a source that is known by a path. */
import { basename, resolve } from 'node:path';

/** The last part of `path` without its ending, when that is one of `endings`; `otherwise` when nothing is left. */
export function collectionName(path: string, endings: readonly string[], otherwise: string): string {
  const name = basename(resolve(path));
  const ending = endings.find((one) => name.toLowerCase().endsWith(one)) ?? '';
  return name.slice(0, name.length - ending.length) || name || otherwise;
}
