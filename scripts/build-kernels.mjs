// Compiles kernels/ to WebAssembly and writes it into src/cas/kernel-module.ts. With --check, says whether that is what is there.
import { readFileSync, writeFileSync } from 'node:fs';
import asc from 'assemblyscript/asc';

const target = 'src/cas/kernel-module.ts';
const LINE = 120;

async function compile() {
  const files = new Map();
  const { error, stderr } = await asc.main(
    ['kernels/index.ts', '--outFile', 'kernels.wasm', '-O3', '--enable', 'simd', '--runtime', 'stub'].concat(
      '--noAssert',
      ['--use', 'abort='], // Nothing is imported: what would abort traps, and callers see to it that nothing does.
    ),
    { writeFile: (name, contents) => void files.set(name, contents) },
  );
  if (error) throw new Error(stderr.toString(), { cause: error });
  return Buffer.from(files.get('kernels.wasm'));
}

function sourceOf(wasm) {
  const lines = wasm.toString('base64').match(new RegExp(`.{1,${LINE}}`, 'g'));
  return `/** The module compiled from kernels/, in base64. Written by \`npm run build:kernels\`; not to be changed by hand. */
// prettier-ignore
export const KERNEL_MODULE =
${lines.map((line) => `  '${line}'`).join(' +\n')};
`;
}

const source = sourceOf(await compile());
if (!process.argv.includes('--check')) writeFileSync(target, source);
else if (readFileSync(target, 'utf8') !== source) {
  console.error(`${target} is not what kernels/ compiles to: run npm run build:kernels.`);
  process.exitCode = 1;
}
