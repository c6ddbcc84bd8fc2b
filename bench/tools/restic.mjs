// restic. It always encrypts; its caches stand outside of the repository.

/** @returns {import('./tool.mjs').Tool} */
export function restic() {
  /**
   * @param {import('./tool.mjs').Place} place
   * @param {readonly string[]} args
   */
  const command = ({ repository, home }, ...args) => ({
    argv: ['restic', '--quiet', '--repo', repository, ...args],
    env: { HOME: home, RESTIC_PASSWORD: 'benchmark', RESTIC_CACHE_DIR: `${home}/cache` },
  });
  return {
    name: 'restic',
    settings: 'as it comes: compression auto, always encrypted',
    version: () => ({ argv: ['restic', 'version'] }),
    init: (place) => [command(place, 'init')],
    create: (place) => [{ ...command(place, 'backup', place.name), cwd: place.data }],
    restore: (place) => [command(place, 'restore', 'latest', '--target', place.output)],
    verify: (place) => [command(place, 'check', '--read-data')],
    forget: (place) => [command(place, 'forget', '--keep-last', '1', '--prune')],
  };
}
