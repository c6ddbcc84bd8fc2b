/**
 * Real ruvector databases for tests. They are written by processes of their own, as by another program: a process that
 * opened a database holds its lock until it ends.
 */
import { spawnSync } from 'node:child_process';

export interface RuvectorRecord {
  readonly id: string;
  readonly vector: readonly number[];
  /** JSON text. */
  readonly metadata?: string;
}

export interface RuvectorCommand {
  /** Options of the constructor beside the path. */
  readonly options: { readonly dimensions: number } & Readonly<Record<string, unknown>>;
  /** Records of one call to `insertBatch` each. */
  readonly batches?: readonly (readonly RuvectorRecord[])[];
  readonly deletes?: readonly string[];
  /** Ids to get; their entries are the result. */
  readonly gets?: readonly string[];
  readonly search?: { readonly vector: readonly number[]; readonly k: number };
}

export interface RuvectorAnswer {
  readonly length: number;
  readonly entries: readonly ({ id: string; vector: number[]; metadata?: string } | null)[];
  readonly found: readonly { id: string; score: number }[];
}

const PROGRAM = `
const { VectorDb } = require('@ruvector/core');
const { path, options, batches = [], deletes = [], gets = [], search } = JSON.parse(require('fs').readFileSync(0, 'utf8'));
(async () => {
  const db = new VectorDb({ ...options, storagePath: path });
  for (const batch of batches) {
    await db.insertBatch(batch.map((r) => ({ ...r, vector: Float32Array.from(r.vector) })));
  }
  for (const id of deletes) await db.delete(id);
  const entries = [];
  for (const id of gets) {
    const entry = await db.get(id);
    entries.push(entry === null ? null : { ...entry, vector: [...entry.vector] });
  }
  const found = search ? await db.search({ vector: Float32Array.from(search.vector), k: search.k }) : [];
  console.log(JSON.stringify({ length: await db.len(), entries, found: found.map(({ id, score }) => ({ id, score })) }));
})();
`;

/** Opens the database at `path`, or makes it, in another process, and does there what is asked. */
export function ruvector(path: string, command: RuvectorCommand): RuvectorAnswer {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['-e', PROGRAM], {
    cwd: import.meta.dirname,
    input: JSON.stringify({ path, ...command }),
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  });
  if (status !== 0) throw new Error(`ruvector ended with ${status}: ${stderr}`);
  return JSON.parse(stdout) as RuvectorAnswer;
}
