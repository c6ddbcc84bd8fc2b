// borg 1.x, without encryption. Its caches stand outside of the repository.

/** @returns {import('./tool.mjs').Tool} */
export function borg() {
  /**
   * @param {import('./tool.mjs').Place} place
   * @param {readonly string[]} args
   */
  const command = ({ home }, ...args) => ({
    argv: ['borg', ...args],
    env: {
      HOME: home,
      BORG_BASE_DIR: home,
      // Each run makes its repository anew at the same path; nobody is there to be asked about that.
      BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK: 'yes',
      BORG_RELOCATED_REPO_ACCESS_IS_OK: 'yes',
    },
  });
  return {
    name: 'borg',
    settings: '-C zstd,3, not encrypted',
    version: (place) => command(place, '--version'),
    init: (place) => [command(place, 'init', '-e', 'none', place.repository)],
    create: (place, number) => [
      {
        ...command(place, 'create', '-C', 'zstd,3', `${place.repository}::snapshot-${number}`, place.name),
        cwd: place.data,
      },
    ],
    restore: (place, number) => [
      { ...command(place, 'extract', `${place.repository}::snapshot-${number}`), cwd: place.output },
    ],
    verify: (place) => [command(place, 'check', '--verify-data', place.repository)],
    forget: (place) => [
      command(place, 'prune', '--keep-last', '1', place.repository),
      command(place, 'compact', place.repository),
    ],
  };
}
