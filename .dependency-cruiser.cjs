const { readFileSync } = require('node:fs');

/** Who may import whom: docs/architecture.md draws the same picture. */
const MAY_IMPORT = {
  core: [],
  chunker: ['core'],
  blob: ['core'],
  manifest: ['core'],
  cas: ['core', 'blob'],
  source: ['core'],
  gc: ['core', 'cas', 'manifest'],
  audit: ['core', 'cas', 'manifest'],
  snapshot: ['core', 'chunker', 'blob', 'cas', 'manifest', 'source', 'gc', 'audit', 'platform'],
  platform: ['core', 'blob', 'cas', 'snapshot'],
  schedule: ['core', 'blob', 'gc', 'source', 'snapshot', 'platform'],
};

/** The parts that run wherever JavaScript runs. */
const PURE = ['core', 'chunker', 'manifest', 'cas', 'gc', 'audit'];

/** The files that the public doors export from: what stands in them is public, and one of them loads less than all. */
const PUBLIC_FILES = ['', 'platform/'].flatMap((part) =>
  [...readFileSync(`${__dirname}/src/${part}index.ts`, 'utf8').matchAll(/ from '\.\/([\w/-]+)\.js';/g)].map(
    ([, file]) => `^src/${part}${file}\\.ts$`,
  ),
);

const directions = Object.entries(MAY_IMPORT).map(([part, allowed]) => ({
  name: `${part}-imports-only-${allowed.join('-') || 'itself'}`,
  severity: 'error',
  from: { path: `^src/${part}/` },
  to: { path: '^src/', pathNot: `^src/(${[part, ...allowed].join('|')})/` },
}));

module.exports = {
  forbidden: [
    ...directions,
    {
      name: 'cli-imports-only-the-public-door',
      severity: 'error',
      from: { path: '^src/cli/' },
      to: { path: '^src/', pathNot: ['^src/cli/', '^src/(schedule/)?index\\.ts$', ...PUBLIC_FILES] },
    },
    {
      name: 'nobody-imports-the-cli',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/cli/' },
      to: { path: '^src/cli/' },
    },
    {
      name: 'pure-parts-import-nothing-of-node',
      severity: 'error',
      from: { path: `^src/(${PURE.join('|')})/` },
      to: { dependencyTypes: ['core'] },
    },
    {
      name: 'snapshot-loads-the-machine-only-when-asked',
      comment: 'A static import would load Node.js parts in a browser.',
      severity: 'error',
      from: { path: '^src/snapshot/' },
      to: {
        path: ['^src/platform/', '^src/source/(?!port)', '^src/blob/(?!port)'],
        dynamic: false,
        dependencyTypesNot: ['type-only'],
      },
    },
    {
      name: 'the-machine-knows-only-the-port-of-snapshot',
      severity: 'error',
      from: { path: '^src/platform/' },
      to: { path: '^src/snapshot/', pathNot: '^src/snapshot/environment\\.ts$' },
    },
    {
      name: 'only-the-machine-and-the-edges-use-node',
      severity: 'error',
      from: { path: '^src/(snapshot)/' },
      to: { dependencyTypes: ['core'] },
    },
    {
      name: 'no-circles',
      severity: 'error',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    { name: 'no-orphans', severity: 'error', from: { orphan: true, path: '^src/' }, to: {} },
    {
      name: 'no-development-packages-in-the-product',
      severity: 'error',
      from: { path: '^src/' },
      to: { dependencyTypes: ['npm-dev'], dependencyTypesNot: ['type-only', 'npm-peer', 'npm-optional'] },
    },
    { name: 'resolvable', severity: 'error', from: {}, to: { couldNotResolve: true } },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'types'],
      extensions: ['.ts', '.js'],
    },
  },
};
