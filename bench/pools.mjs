// The pool of worker threads against tinypool and piscina, which are installed into .work/ for it.
//
//   npm run build && node bench/pools.mjs [ROUNDS]
//
// Every process is timed from before the first thread is asked for until two workers have answered; then it does 2,000 jobs of 16 × 64 KiB
// in shared memory, six at a time, whose work is nothing: what is left is the way there and back.
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { summarize } from './statistics.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const place = join(root, '.work/bench/pools');
const rounds = Number(process.argv[2] ?? 9);
const PACKAGES = ['tinypool@2.2.0', 'piscina@5.3.2'];
const POOLS = ['own', 'tinypool', 'piscina'];

mkdirSync(place, { recursive: true });
writeFileSync(join(place, 'package.json'), '{ "private": true, "type": "module" }');
execFileSync('npm', ['install', '--no-audit', '--no-fund', '--loglevel=error', ...PACKAGES], { cwd: place });

writeFileSync(
  join(place, 'task.mjs'),
  `import { parentPort } from 'node:worker_threads';
   export default ({ chunks }) => ({ count: chunks.length });
   if (process.argv.includes('--own'))
     parentPort.on('message', ({ id, job }) => parentPort.postMessage({ id, count: job.chunks.length }));`,
);
writeFileSync(
  join(place, 'process.mjs'),
  `const started = performance.now();
   const file = new URL('./task.mjs', import.meta.url);
   const size = { filename: file.href, minThreads: 2, maxThreads: 2, concurrentTasksPerWorker: 4 };
   const pools = {
     // As src/platform/pool.ts does it: the member with the fewest jobs, and a number for each job.
     async own() {
       const { Worker } = await import('node:worker_threads');
       const members = [0, 1].map(() => {
         const member = { worker: new Worker(file, { argv: ['--own'] }), waiting: new Map() };
         member.worker.on('message', ({ id, count }) => {
           member.waiting.get(id)(count);
           member.waiting.delete(id);
         });
         return member;
       });
       let last = 0;
       const run = (job) =>
         new Promise((resolve) => {
           const member = members.reduce((a, b) => (b.waiting.size < a.waiting.size ? b : a));
           member.waiting.set(++last, resolve);
           member.worker.postMessage({ id: last, job });
         });
       return { run, close: () => Promise.all(members.map(({ worker }) => worker.terminate())) };
     },
     async tinypool() {
       const { Tinypool } = await import('tinypool');
       const pool = new Tinypool(size);
       return { run: (job) => pool.run(job), close: () => pool.destroy() };
     },
     async piscina() {
       const { Piscina } = await import('piscina');
       const pool = new Piscina(size);
       return { run: (job) => pool.run(job), close: () => pool.destroy() };
     },
   };
   const { run, close } = await pools[process.argv[2]]();
   const shared = new Uint8Array(new SharedArrayBuffer(2 ** 20));
   const job = () => ({ chunks: Array.from({ length: 16 }, (_, i) => shared.subarray(i * 65536, (i + 1) * 65536)) });
   await Promise.all([run(job()), run(job())]);
   const first = performance.now() - started;
   const begun = performance.now();
   let left = 2000;
   const loop = async () => { while (left-- > 0) await run(job()); };
   await Promise.all(Array.from({ length: 6 }, loop));
   const each = ((performance.now() - begun) / 2000) * 1000;
   await close();
   console.log(JSON.stringify({ first, each }));`,
);

const results = Object.fromEntries(POOLS.map((pool) => [pool, []]));
for (let round = 0; round < rounds; round++)
  for (const pool of POOLS)
    results[pool].push(
      JSON.parse(execFileSync(process.execPath, ['process.mjs', pool], { cwd: place, encoding: 'utf8' })),
    );
for (const pool of POOLS) {
  const [first, each] = ['first', 'each'].map(
    (one) => summarize(results[pool].map((result) => result[one])).median,
  );
  console.log(`${pool}: two answers after ${first.toFixed(1)} ms, then ${each.toFixed(0)} µs for each job`);
}
