// casync: one index file for each snapshot, beside one store of chunks. It syncs nothing to the disk itself.

/** @returns {import('./tool.mjs').Tool} */
export function casync() {
  /** @param {import('./tool.mjs').Place} place @param {number} number */
  const index = ({ repository, isTree }, number) =>
    `${repository}/snapshot-${number}.${isTree ? 'caidx' : 'caibx'}`;
  /**
   * @param {import('./tool.mjs').Place} place
   * @param {string} verb
   * @param {readonly string[]} args
   */
  const command = ({ repository, home }, verb, ...args) => ({
    argv: ['casync', verb, `--store=${repository}/default.castr`, ...args],
    env: { HOME: home },
  });
  return {
    name: 'casync',
    settings: 'as it comes: zstd, not encrypted',
    version: (place) => ({ argv: ['casync', '--version'], env: { HOME: place.home } }),
    init: () => [],
    create: (place, number) => [command(place, 'make', index(place, number), `${place.data}/${place.name}`)],
    restore: (place, number) => [
      command(place, 'extract', index(place, number), `${place.output}/${place.name}`),
    ],
    verify: undefined,
    forget: (place, last) => [
      { argv: ['rm', ...Array.from({ length: last }, (_, number) => index(place, number))] },
      command(place, 'gc', index(place, last)),
    ],
  };
}
