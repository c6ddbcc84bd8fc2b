// bup: a git repository of its own kind. It names saves by their time, so each gets a date of its own.

const DAY_SECONDS = 86_400;
/** 2001-01-01 00:00:00 UTC. */
const FIRST_DAY = 978_307_200;

/** @returns {import('./tool.mjs').Tool} */
export function bup() {
  /**
   * @param {import('./tool.mjs').Place} place
   * @param {readonly string[]} args
   */
  const command = ({ repository, home }, ...args) => ({
    argv: ['bup', '-d', repository, ...args],
    env: { HOME: home },
  });
  return {
    name: 'bup',
    settings: 'as it comes: zlib level 1, not encrypted',
    version: (place) => ({ argv: ['bup', '--version'], env: { HOME: place.home } }),
    init: (place) => [command(place, 'init')],
    create: (place, number) => [
      command(place, 'index', place.data),
      command(place, 'save', '-q', '-n', 'vectors', '--strip', `--date=${dateOf(number)}`, place.data),
    ],
    restore: (place) => [command(place, 'restore', '-q', '-C', place.output, '/vectors/latest/.')],
    verify: (place) => [command(place, 'fsck')],
    forget: (place, last) => [
      command(place, 'rm', '--unsafe', ...Array.from({ length: last }, (_, number) => saveName(number))),
      command(place, 'gc', '--unsafe'),
    ],
  };
}

/** @param {number} number */
function dateOf(number) {
  return FIRST_DAY + number * DAY_SECONDS;
}

/** @param {number} number */
function saveName(number) {
  const [day = '', time = ''] = new Date(dateOf(number) * 1000).toISOString().split(/[T.]/);
  return `/vectors/${day}-${time.replaceAll(':', '')}`;
}
