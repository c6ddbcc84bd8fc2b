/** A worker of the pool: does what it is sent. */
import { parentPort } from 'node:worker_threads';
import { JobRunner } from './job-runner.js';
import { type Envelope, type Job, LOADED, type Reply } from './pool-protocol.js';

const runner = new JobRunner();

parentPort?.on('message', ({ id, content, memory }: Envelope<Job>) => {
  const reply = runner.run(content);
  const moved = 'fingerprints' in reply ? [reply.bytes, reply.fingerprints] : [reply.bytes];
  const buffers = moved.map(({ buffer }) => buffer as ArrayBuffer);
  parentPort?.postMessage(
    { id, content: reply, memory } satisfies Envelope<Reply>,
    memory === undefined ? buffers : [...buffers, memory],
  );
});

parentPort?.postMessage(LOADED);
