/** The programs in the documents run as they stand there, on a real database. */
import { execFile } from 'node:child_process';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, describe, expect, it } from 'vitest';
import { freshDirectory } from './support/files.js';
import { ruvector } from './support/ruvector.js';

const run = promisify(execFile);
const path = freshDirectory();
/** Below the package, where it is found by its own name. */
const PROGRAMS = resolve('.work/doc-examples');
afterAll(() => rm(PROGRAMS, { recursive: true, force: true }));

/** Programs in a document: blocks that import what they use. */
async function programsIn(document: string): Promise<string[]> {
  const blocks = (await readFile(document, 'utf8')).matchAll(/^```js\n(.*?)^```$/gms);
  return Array.from(blocks, ([, program]) => program as string).filter((text) => text.startsWith('import '));
}

describe.each(['README.md', 'docs/library.md'])('the programs in %s', (document) => {
  it('run', async () => {
    const programs = await programsIn(document);
    expect(programs.length).toBeGreaterThan(0);
    await mkdir(PROGRAMS, { recursive: true });
    for (const [i, program] of programs.entries()) {
      const directory = path(String(i));
      await mkdir(directory);
      const ids = ['news:2024-05-16', 'news:2024-05-17', 'news:2024-05-18', 'other'];
      ruvector(join(directory, 'articles.db'), {
        options: { dimensions: 4 },
        batches: [ids.map((id, n) => ({ id, vector: [n, 1, 2, 3], metadata: `{"n":${n}}` }))],
      });
      const file = join(PROGRAMS, `${document.replaceAll(/\W/g, '-')}-${i}.mjs`);
      await writeFile(file, program);
      const { stderr } = await run(process.execPath, [file], { cwd: directory });
      expect(stderr).toBe('');
    }
  });
});
