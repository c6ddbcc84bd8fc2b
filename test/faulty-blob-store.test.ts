/** The faulty store does what its faults say, so that tests which use it prove something. */
import { beforeEach, describe, expect, it } from 'vitest';
import { type BlobStore, memoryBlobStore } from 'vecsnap/blob';
import { faultyBlobStore, type FaultyBlobStore } from './fault/faulty-blob-store.js';

const BYTES = Uint8Array.from([1, 2, 3, 4]);

let inner: BlobStore;
let store: FaultyBlobStore;

beforeEach(() => {
  inner = memoryBlobStore();
  store = faultyBlobStore(inner);
});

it('records every call', async () => {
  await store.put('a', [BYTES, BYTES]);
  await store.read('a', 3, new Uint8Array(2));
  await names(store, 'pre');
  await store.close();
  expect(store.calls).toEqual([
    { method: 'put', name: 'a', bytes: 8 },
    { method: 'read', name: 'a', bytes: 2 },
    { method: 'list', name: 'pre', bytes: 0 },
    { method: 'close', name: '', bytes: 0 },
  ]);
});

describe('failures', () => {
  it('hit the n-th matching call and nothing else', async () => {
    store.setFaults({ failures: [{ nth: 2, method: 'put', name: /^packs\//, code: 'STORE_FULL' }] });
    await store.put('packs/a', BYTES);
    await store.put('other', BYTES);
    await expect(store.put('packs/b', BYTES)).rejects.toMatchObject({ code: 'STORE_FULL' });
    await store.put('packs/c', BYTES);
    expect(await names(inner)).toEqual(['other', 'packs/a', 'packs/c']);
    store.setFaults({ failures: [{ nth: 2, onwards: true }] });
    await store.stat('other');
    for (let i = 0; i < 3; i++)
      await expect(store.get('other')).rejects.toMatchObject({ code: 'STORE_FAILED' });
    await expect(names(store)).rejects.toMatchObject({ code: 'STORE_FAILED' });
  });

  it('that are torn are done in part or unconfirmed', async () => {
    const torn = { nth: 1, when: 'torn', onwards: true } as const;
    store.setFaults({ failures: [torn] });
    await expect(store.put('a', BYTES)).rejects.toMatchObject({ code: 'STORE_FAILED' });
    expect(await inner.get('a')).toEqual(BYTES);
    const into = new Uint8Array(4);
    await expect(store.read('a', 0, into)).rejects.toMatchObject({ code: 'STORE_FAILED' });
    expect([...into]).toEqual([1, 2, 0, 0]);
    await inner.put('b', BYTES);
    const seen: string[] = [];
    await expect(names(store, '', seen)).rejects.toMatchObject({ code: 'STORE_FAILED' });
    expect(seen).toEqual(['a']);
    await expect(store.delete('a')).rejects.toMatchObject({ code: 'STORE_FAILED' });
    expect(await inner.stat('a')).toBeUndefined();
  });
});

it('reads short', async () => {
  await store.put('a', BYTES);
  store.setFaults({ shortReads: 2 });
  const into = new Uint8Array(4);
  expect(await store.read('a', 0, into)).toBe(4);
  expect(await store.read('a', 0, into)).toBe(2);
  expect(await store.read('a', 0, into)).toBe(4);
});

it('lists late', async () => {
  await store.put('old', BYTES);
  store.setFaults({ listsLate: 2 });
  await store.put('new', BYTES);
  await store.delete('old');
  expect(await names(store)).toEqual(['old']);
  expect(await names(store)).toEqual(['old']);
  expect(await names(store)).toEqual(['new']);
  await store.put('fleeting', BYTES);
  await store.delete('fleeting');
  expect(await names(store)).toEqual(['new']);
});

async function names(from: BlobStore, prefix = '', into: string[] = []): Promise<string[]> {
  for await (const { name } of from.list(prefix)) into.push(name);
  return into;
}
