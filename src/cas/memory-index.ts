/** The index in memory: about 60 bytes a chunk. For readers beside a writer, and for stores without LevelDB. */
import { type Address, DigestTable } from '../core/index.js';
import type { ChunkIndex, IndexEntry, Location } from './index-port.js';
import type { PackEntry } from './pack.js';

const NO_PACK = 0xffffffff;
const FIELDS = 6;
const ENTRIES_AT_ONCE = 1000;
/** In place of a number of bases, for chunks that are no deltas. */
const NO_DELTA = 0xffffffff;

/** An empty index. */
export function memoryIndex(): ChunkIndex {
  let table = new DigestTable();
  /** For each chunk: pack number, offset, stored length, length, codec and kind, number of bases. */
  let fields = new Uint32Array(64 * FIELDS);
  let names: string[] = [];
  const sizes = new Map<string, number>();

  const locate = (index: number): Location | undefined => {
    const at = index * FIELDS;
    const pack = fields[at] as number;
    if (index < 0 || pack === NO_PACK) return undefined;
    const tag = fields[at + 4] as number;
    const baseCount = fields[at + 5] as number;
    const location = {
      pack: names[pack] as string,
      offset: fields[at + 1] as number,
      storedLength: fields[at + 2] as number,
      length: fields[at + 3] as number,
      codec: tag >>> 1,
      kind: tag & 1 ? 'node' : 'data',
    } as const;
    return baseCount === NO_DELTA ? location : { ...location, baseCount };
  };

  const standsAlone = (index: number): boolean => {
    const location = locate(index);
    return location !== undefined && location.baseCount === undefined;
  };

  const set = (packNumber: number, entry: PackEntry): void => {
    const isDelta = entry.baseCount !== undefined;
    if (isDelta && standsAlone(table.find(entry.address))) return;
    const index = table.add(entry.address);
    const at = index * FIELDS;
    if (at + FIELDS > fields.length) growFields(fields.length * 2);
    const tag = (entry.codec << 1) | (entry.kind === 'node' ? 1 : 0);
    fields[at] = packNumber;
    fields[at + 1] = entry.offset;
    fields[at + 2] = entry.storedLength;
    fields[at + 3] = entry.length;
    fields[at + 4] = tag;
    fields[at + 5] = entry.baseCount ?? NO_DELTA;
  };

  const growFields = (length: number): void => {
    const grown = new Uint32Array(length);
    grown.set(fields);
    fields = grown;
  };

  const removeChunksOf = (removed: ReadonlySet<string>): void => {
    for (let index = 0; index < table.size; index++) {
      const pack = names[fields[index * FIELDS] as number];
      if (pack !== undefined && removed.has(pack)) fields[index * FIELDS] = NO_PACK;
    }
  };

  const reserve = (size: number): void => {
    table.reserve(size);
    if (size * FIELDS > fields.length) growFields(Math.max(size * FIELDS, fields.length * 2));
  };

  return {
    find: async (addresses) => addresses.map((address) => locate(table.find(address))),
    packs: () => sizes,
    async addPack({ name, size }, entries) {
      const packNumber = names.push(name) - 1;
      sizes.set(name, size);
      reserve(table.size + entries.length);
      for (const entry of entries) set(packNumber, entry);
    },
    async removePacks(removed) {
      removeChunksOf(removed);
      for (const name of removed) sizes.delete(name);
    },
    removeChunksOf: async (removed) => removeChunksOf(removed),
    async *entries() {
      for (let start = 0; start < table.size; start += ENTRIES_AT_ONCE) {
        const some: IndexEntry[] = [];
        for (let index = start; index < Math.min(start + ENTRIES_AT_ONCE, table.size); index++) {
          const location = locate(index);
          if (location !== undefined) some.push({ address: table.at(index).slice() as Address, ...location });
        }
        yield some;
      }
    },
    async clear() {
      table = new DigestTable();
      fields = new Uint32Array(64 * FIELDS);
      names = [];
      sizes.clear();
    },
    async close() {},
  };
}
