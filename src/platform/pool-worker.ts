/** A worker of the pool: does what it is sent. */
import { parentPort } from 'node:worker_threads';
import { JobRunner } from './job-runner.js';
import { type Envelope, type Job, LOADED, type Reply } from './pool-protocol.js';

const runner = new JobRunner();

parentPort?.on('message', ({ id, content }: Envelope<Job>) => {
  const reply = runner.run(content);
  const moved = 'fingerprints' in reply ? [reply.bytes, reply.fingerprints] : [reply.bytes];
  parentPort?.postMessage(
    { id, content: reply } satisfies Envelope<Reply>,
    moved.map(({ buffer }) => buffer as ArrayBuffer),
  );
});

parentPort?.postMessage(LOADED);
