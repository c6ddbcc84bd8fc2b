/** What only another process can show: an ordinary user's permissions, a limit on files, a disk that is full. */
import { execFile } from 'node:child_process';
import { chmod, mkdir, open, readdir } from 'node:fs/promises';
import { promisify } from 'node:util';
import { isVecsnapError } from 'vecsnap/core';
import { writeFailure } from 'vecsnap/source';
import { beforeEach, describe, expect, it } from 'vitest';
import { freshDirectory } from './support/files.js';
import { canMount } from './support/mounts.js';

const run = promisify(execFile);
const path = freshDirectory();

/** A module that restores a matrix of 40 MB, and prints the code of the error and what is left behind. */
const WRITE_MUCH = `
  import { readdirSync, writeFileSync } from 'node:fs';
  import { fbin, matrixTarget } from 'vecsnap/source';
  const directory = process.env.PLACE;
  writeFileSync(directory + '/old', 'old');
  const content = {
    format: { name: 'fbin' },
    schema: { id: 'none', vectors: [{ name: 'vector', dtype: 'f32', dimension: 256 }], payload: 'none' },
    records: async function* () {
      for (let i = 0; i < 100; i++) {
        yield { count: 400, ids: undefined, vectors: [new Uint8Array(409600)], payloads: undefined };
      }
    },
    expected: {},
  };
  const error = await matrixTarget(fbin, directory + '/old').write(content, { overwrite: true }).catch((e) => e);
  console.log(error.code, readdirSync(directory).join());
`;

async function shell(script: string, module: string): Promise<string> {
  const env = { ...process.env, PLACE: path(), MODULE: module, NODE: process.execPath };
  return (await run('sh', ['-c', script], { env })).stdout.trim();
}

describe('writing what does not fit', () => {
  it('leaves what stood there, and nothing else, at the limit of a file', async () => {
    const limited = `trap '' XFSZ; ulimit -f 5000; "$NODE" --input-type=module -e "$MODULE"`;
    expect(await shell(limited, WRITE_MUCH)).toBe('TARGET_FAILED old');
  });

  it.runIf(canMount())('leaves what stood there, and nothing else, on a disk that is full', async () => {
    const small = `mount -t tmpfs -o size=10m none "$PLACE" && "$NODE" --input-type=module -e "$MODULE"`;
    const script = `unshare --mount --map-root-user sh -c '${small}'`;
    expect(await shell(script, WRITE_MUCH)).toBe('STORE_FULL old');
  });

  it('tells a disk that is full apart from other failures', async () => {
    const full = await open('/dev/full', 'w');
    const cause: unknown = await full.write('x').catch((error: unknown) => error);
    await full.close();
    expect(isVecsnapError(writeFailure('out', cause), 'STORE_FULL')).toBe(true);
    expect(isVecsnapError(writeFailure('out', new Error('other')), 'TARGET_FAILED')).toBe(true);
  });
});

/** The superuser may write everywhere, so these run as somebody else. */
describe('trees that forbid to write, for an ordinary user', () => {
  const uid = process.getuid?.() === 0 ? 65534 : undefined;
  const script = (body: string) => `
    import { chmodSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
    import { directorySource, directoryTarget } from 'vecsnap/source';
    const at = (name) => process.env.PLACE + '/' + name;
    const modes = (root) =>
      ['', '/a', '/a/b', '/a/b/c'].map((name) => (statSync(root + name).mode & 0o7777).toString(8)).join();
    mkdirSync(at('in/a/b'), { recursive: true });
    writeFileSync(at('in/a/b/c'), 'c', { mode: 0o400 });
    for (const name of ['in/a/b', 'in/a', 'in']) chmodSync(at(name), 0o555);
    const content = await directorySource(at('in')).open();
    ${body}
    for (const name of ['in', 'in/a', 'in/a/b']) chmodSync(at(name), 0o755);
  `;

  beforeEach(async () => {
    await chmod(path(), 0o777);
    await mkdir(path('home'));
    await chmod(path('home'), 0o777);
  });

  async function ordinarily(body: string): Promise<string> {
    const env = { ...process.env, PLACE: path('home') };
    const { stdout } = await run(process.execPath, ['--input-type=module', '-e', script(body)], { env, uid });
    return stdout.trim();
  }

  it('come back with their permissions', async () => {
    const body = `await directoryTarget(at('out')).write(content, {}); console.log(modes(at('out')));
      for (const name of ['out', 'out/a', 'out/a/b']) chmodSync(at(name), 0o755);`;
    expect(await ordinarily(body)).toBe('555,555,555,400');
  });

  it('come complete, also below a directory that nobody may enter', async () => {
    const body = `
      const names = ['a', 'a/b', 'a/b/c'];
      const files = async function* () { for (const path of names) yield { type: 'directory', path, mode: 0 }; };
      await directoryTarget(at('out')).write({ ...content, files }, {});
      for (const name of ['', ...names]) {
        console.log((statSync(at('out/' + name)).mode & 0o7777).toString(8));
        chmodSync(at('out/' + name), 0o700);
      }`;
    expect(await ordinarily(body)).toBe('555\n0\n0\n0');
  });

  it('can be replaced', async () => {
    const body = `
      for (let i = 0; i < 2; i++) await directoryTarget(at('out')).write(content, { overwrite: i > 0 });
      console.log(modes(at('out')), readdirSync(at('')).join());
      for (const name of ['out', 'out/a', 'out/a/b']) chmodSync(at(name), 0o755);`;
    expect(await ordinarily(body)).toBe('555,555,555,400 in,out');
    expect(await readdir(path('home'))).toEqual(['in', 'out']);
  });
});
