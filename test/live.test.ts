/** A slice of `npm run campaign:live`: processes that write, read and sweep at once, of which one is killed every second. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

const SECONDS = 12;

it('loses nothing, and leaves nothing behind, whoever is killed', { timeout: 180_000 }, async () => {
  const args = ['scripts/campaign-live.mjs', '--seconds', String(SECONDS), '--seed', '7', '--every', '1'];
  const { stdout } = await promisify(execFile)(process.execPath, args).catch(
    (error: Error & { stdout?: string }) => {
      throw new Error(error.stdout, { cause: error });
    },
  );
  const summary = JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Record<string, number>;
  console.log(stdout.trim());
  expect(summary).toMatchObject({ failures: 0 });
  expect(summary['kills']).toBeGreaterThan(0);
  expect(summary['operations']).toBeGreaterThan(0);
});
