// The database of the campaign: what it holds follows from a seed and a version, so that any snapshot can be compared with it.
import { createHash } from 'node:crypto';

const RECORDS = 3000;
const ADDED = 40;
const DIMENSION = 48;
const BATCH = 500;

/** @type {import('vecsnap/core').Schema} */
export const SCHEMA = {
  id: 'string',
  vectors: [{ name: 'vector', dtype: 'f32', dimension: DIMENSION }],
  payload: 'none',
};

function mix(...numbers) {
  let hash = 0x811c9dc5;
  for (const number of numbers) {
    hash = Math.imul(hash ^ number, 0x01000193);
    hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
  }
  return (hash ^ (hash >>> 13)) >>> 0;
}

export const idOf = (record) => `r${String(record).padStart(8, '0')}`;

const countAt = (version) => RECORDS + ADDED * version;
const changesAt = (seed, record, version) => mix(seed, record, version) % 40 === 0;

function lastChange(seed, record, version) {
  let last = version;
  while (last > 0 && !changesAt(seed, record, last)) last--;
  return last;
}

function fill(into, seed, record, version) {
  let state = mix(seed, record, lastChange(seed, record, version), 7);
  for (let i = 0; i < into.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    into[i] = (state >>> 8) / 2 ** 24;
  }
}

function batchOf(seed, version, records) {
  const vectors = new Float32Array(records.length * DIMENSION);
  records.forEach((record, i) =>
    fill(vectors.subarray(i * DIMENSION, (i + 1) * DIMENSION), seed, record, version),
  );
  return {
    count: records.length,
    ids: records.map(idOf),
    vectors: [new Uint8Array(vectors.buffer)],
    payloads: undefined,
  };
}

function* batchesOf(seed, version, records) {
  for (let start = 0; start < records.length; start += BATCH)
    yield batchOf(seed, version, records.slice(start, start + BATCH));
}

const all = (version) => Array.from({ length: countAt(version) }, (_, record) => record);

/** Ids of the records that differ between two versions. */
function changedBetween(seed, from, to) {
  return all(Math.max(from, to))
    .filter((r) => r >= countAt(Math.min(from, to)) || lastChange(seed, r, from) !== lastChange(seed, r, to))
    .map(idOf);
}

/**
 * @param {number} seed
 * @param {number} version
 * @param {{ collection: string, versionOf?: (snapshot: string) => Promise<number | undefined>, pause?: () => Promise<void> }} options
 *   `versionOf` is the version of a snapshot, for a source that tells what changed; without it, it does not.
 * @returns {import('vecsnap/source').Source}
 */
export function sourceOf(seed, version, { collection, versionOf, pause = async () => {} }) {
  const hints = versionOf && {
    lookUp: {
      count: countAt(version),
      async *get(ids) {
        const records = [...ids].map((id) => Number(id.slice(1))).filter((r) => r < countAt(version));
        yield* batchesOf(seed, version, records);
      },
    },
    changes: {
      async since(snapshot) {
        const from = await versionOf(snapshot);
        return from === undefined
          ? { unknown: 'it is not known' }
          : { ids: changedBetween(seed, from, version) };
      },
      follow: async () => {},
    },
  };
  return {
    place: `live:${version}`,
    collection,
    open: async () => ({
      format: { name: 'live' },
      schema: SCHEMA,
      async *records() {
        for (const batch of batchesOf(seed, version, all(version))) {
          await pause();
          yield batch;
        }
      },
      files: undefined,
      expected: { records: countAt(version) },
      notes: [],
      confirmUnchanged: async () => {},
      close: async () => {},
      ...hints,
    }),
  };
}

/** However the records are cut into batches. */
export async function digestOf(batches) {
  const [idHash, vectorHash] = [createHash('sha256'), createHash('sha256')];
  let count = 0;
  for await (const { ids, vectors } of batches) {
    for (const id of ids) idHash.update(id);
    for (const bytes of vectors) vectorHash.update(bytes);
    count += ids.length;
  }
  return `${count} ${idHash.digest('hex')} ${vectorHash.digest('hex')}`;
}

const expected = new Map();
/** What {@link digestOf} gives for a version. */
export async function expectedDigest(seed, version) {
  const key = `${seed} ${version}`;
  if (!expected.has(key)) expected.set(key, await digestOf(batchesOf(seed, version, all(version))));
  return expected.get(key);
}
