// vecsnap by its command line, as anybody runs it.

/**
 * @param {readonly string[]} launch the words that start the command line
 * @param {string} [scheme] what it is told of the file: `file:`, that it is a plain one; else it finds out
 * @returns {import('./tool.mjs').Tool}
 */
export function vecsnap(launch, scheme = '') {
  /** @param {readonly string[]} args */
  const command = (...args) => ({ argv: [...launch, ...args] });
  return {
    name: 'vecsnap',
    settings: 'as it comes',
    version: () => command('--version'),
    init: ({ repository }) => [command('init', repository)],
    create: ({ repository, data, name }) => [command('create', repository, `${scheme}${data}/${name}`)],
    restore: ({ repository, output, name }) => [
      command('restore', repository, 'latest', `${output}/${name}`),
    ],
    verify: ({ repository }) => [command('verify', repository)],
    forget: ({ repository }) => [
      command('forget', repository, '--keep-last', '1'),
      command('gc', repository),
    ],
  };
}
