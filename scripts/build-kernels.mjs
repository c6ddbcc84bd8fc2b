// Compiles kernels/ to WebAssembly and writes the modules into src/. With --check, says whether they are what is there.
import { readFileSync, writeFileSync } from 'node:fs';
import asc from 'assemblyscript/asc';

const MODULES = [
  { entry: 'kernels/index.ts', target: 'src/cas/kernel-module.ts', name: 'KERNEL_MODULE' },
  { entry: 'kernels/gear.ts', target: 'src/chunker/gear-module.ts', name: 'GEAR_MODULE' },
  { entry: 'kernels/xxh3.ts', target: 'src/source/xxh3-module.ts', name: 'XXH3_MODULE' },
];
const LINE = 120;

async function compile(entry) {
  const files = new Map();
  const { error, stderr } = await asc.main(
    [entry, '--outFile', 'kernels.wasm', '-O3', '--enable', 'simd', '--runtime', 'stub'].concat(
      '--noAssert',
      ['--use', 'abort='], // Nothing is imported: what would abort traps, and callers see to it that nothing does.
    ),
    { writeFile: (name, contents) => void files.set(name, contents) },
  );
  if (error) throw new Error(stderr.toString(), { cause: error });
  return Buffer.from(files.get('kernels.wasm'));
}

function sourceOf(wasm, entry, name) {
  const from = entry.endsWith('/index.ts') ? 'kernels/' : entry;
  const lines = wasm.toString('base64').match(new RegExp(`.{1,${LINE}}`, 'g'));
  return `/** The module compiled from ${from}, in base64. Written by \`npm run build:kernels\`; not to be changed by hand. */
// prettier-ignore
export const ${name} =
${lines.map((line) => `  '${line}'`).join(' +\n')};
`;
}

for (const { entry, target, name } of MODULES) {
  const source = sourceOf(await compile(entry), entry, name);
  if (!process.argv.includes('--check')) {
    writeFileSync(target, source);
  } else if (readFileSync(target, 'utf8') !== source) {
    console.error(`${target} is not what ${entry} compiles to: run npm run build:kernels.`);
    process.exitCode = 1;
  }
}
