/**
 * A process that takes the writer's lease of a store of files.
 *
 *   node lease-child.mjs race DIRECTORY EVIDENCE ROUNDS    takes and releases it; appends `+ pid` and `- pid` inside
 *   node lease-child.mjs hold DIRECTORY                    prints `held` and keeps it until it is killed
 */
import { randomBytes } from 'node:crypto';
import { appendFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { acquireLease, fsBlobStore, isProcessAlive, processIdentity } from 'vecsnap/blob';

const [mode, directory, evidence, rounds] = process.argv.slice(2);
const store = fsBlobStore(directory);
const clock = { now: () => Date.now() };

function acquire() {
  const identity = processIdentity(`child that ${mode}s`, clock);
  const random = (length) => new Uint8Array(randomBytes(length));
  return acquireLease(store, {
    kind: 'writer',
    identity,
    isAlive: isProcessAlive,
    clock,
    random,
    timeoutMs: 50_000,
    pollMs: 4,
  });
}

if (mode === 'hold') {
  await acquire();
  process.stdout.write('held\n');
  setInterval(() => {}, 1000);
} else {
  process.stdout.write('ready\n');
  await new Promise((resolve) => process.stdin.once('data', resolve));
  for (let round = 0; round < Number(rounds); round++) {
    const lease = await acquire();
    appendFileSync(evidence, `+ ${process.pid}\n`);
    if (round % 3 === 0) await sleep(1);
    appendFileSync(evidence, `- ${process.pid}\n`);
    await lease.release();
  }
  process.stdin.destroy();
}
