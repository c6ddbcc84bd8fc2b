/** Everything that a manifest reaches: its nodes and the chunks of its data. */
import type { Address } from '../core/index.js';
import { entryToFile, entryToRowGroup, entryToStreamChunk } from './entries.js';
import { decodeManifest, type Manifest } from './manifest.js';
import { type ChunkReader, TreeReader } from './tree-reader.js';

/** A chunk that a manifest reaches. */
export interface Reached {
  readonly address: Address;
  /** Whether it is the manifest or a node of one of its trees; else it is data. */
  readonly isNode: boolean;
}

/**
 * Every chunk below the manifest at `address`, itself included. What stands below a node is left out when `enter` gives
 * false for it, so that trees shared by several manifests are walked once.
 * @throws VecsnapError MANIFEST_DAMAGED, or what the store throws, when a node cannot be read.
 */
export async function* reachable(
  chunks: ChunkReader,
  address: Address,
  enter: (node: Address) => boolean,
): AsyncGenerator<Reached> {
  yield { address, isNode: true };
  if (!enter(address)) return;
  yield* reachableFrom(chunks, decodeManifest(await chunks.get(address)), enter);
}

async function* reachableFrom(
  chunks: ChunkReader,
  { schema, records, files }: Manifest,
  enter: (node: Address) => boolean,
): AsyncGenerator<Reached> {
  if (schema && records) {
    const columns = columnCount(schema);
    yield* walk(chunks, records.root, enter, (entry) =>
      entryToRowGroup(entry, columns).columns.flatMap((column) => column.map(({ address }) => address)),
    );
  }
  if (files) {
    const streams: Address[] = [];
    yield* walk(chunks, files.root, enter, (entry) => {
      const file = entryToFile(entry);
      if (file.type === 'file' && file.content !== null) streams.push(file.content);
      return [];
    });
    for (const stream of streams)
      yield* walk(chunks, stream, enter, (entry) => [entryToStreamChunk(entry).address]);
  }
}

async function* walk(
  chunks: ChunkReader,
  root: Address,
  enter: (node: Address) => boolean,
  dataOf: (entry: Parameters<typeof entryToFile>[0]) => readonly Address[],
): AsyncGenerator<Reached> {
  const nodes: Address[] = [];
  const visit = (node: Address): boolean => {
    nodes.push(node);
    return enter(node);
  };
  for await (const entry of new TreeReader(chunks).walk(root, visit)) {
    for (const address of nodes.splice(0)) yield { address, isNode: true };
    for (const address of dataOf(entry)) yield { address, isNode: false };
  }
  for (const address of nodes) yield { address, isNode: true };
}

/** Columns of a row group: ids, vector columns, payloads, as far as the schema has them. */
export function columnCount({
  id,
  vectors,
  payload,
}: Pick<NonNullable<Manifest['schema']>, 'id' | 'vectors' | 'payload'>): number {
  return (id === 'none' ? 0 : 1) + vectors.length + (payload === 'none' ? 0 : 1);
}
