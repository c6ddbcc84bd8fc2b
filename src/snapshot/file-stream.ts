/**
 * The stream of a file, as the snapshot before had it and as it is stored now: chunks below a tree, or an only one without any.
 */
import {
  type ChunkReference,
  entryToStreamChunk,
  type FileContent,
  onlyChunk,
  streamChunkToEntry,
} from '../manifest/entries.js';
import type { Entry } from '../manifest/index.js';
import { FILES_VERSION } from '../manifest/manifest.js';
import { type Alignment, alignmentWith } from './alignment.js';
import { newTree, type PutNodes, type StoredTree } from './stored-tree.js';
import type { ReadEntries } from './stream-alignment.js';
import type { TakeParts } from './take.js';

/** What a file had in the snapshot before. */
export interface OldStream {
  /** Where a tree tells of its chunks. */
  readonly tree: Alignment | undefined;
  readonly next: ReadEntries;
}

const NO_OLD_STREAM: OldStream = { tree: undefined, next: () => [] };

/** @param before the file in the snapshot before, if there is one. */
export function oldStream(
  before: { readonly content: FileContent | null; readonly size: number } | undefined,
  parts: Pick<TakeParts, 'base' | 'writer'>,
): OldStream {
  if (!before?.content) return NO_OLD_STREAM;
  const only = onlyChunk(before.content, before.size);
  if (only !== undefined) return streamOf(only, parts);
  const dataOf = (entry: Entry) => [entryToStreamChunk(entry).address];
  const tree = alignmentWith(parts, before.content.address, dataOf);
  return { tree, next: async (count) => (await tree?.next(count)) ?? [] };
}

function streamOf(only: ChunkReference, { base, writer }: Pick<TakeParts, 'base' | 'writer'>): OldStream {
  const entries = [streamChunkToEntry(only)];
  const next = async (count: number): Promise<readonly Entry[]> => {
    const isWhole = base?.wholeNote !== undefined; // What is whole need not be looked up.
    if (entries.length > 0 && !isWhole) await writer.expect([only.address]);
    return entries.splice(0, count);
  };
  return { tree: undefined, next };
}

/** What a file has, where it has a byte. */
export interface StoredStream {
  readonly content: FileContent;
  readonly bytes: number;
}

/** What it has else. */
export const NO_BYTES = { content: null, bytes: 0 };

/** Puts a stream together. A file refers to an only chunk by itself, in manifests of now; else a tree is made. */
export class NewStream {
  readonly #parts: TakeParts;
  readonly #old: OldStream;
  readonly #put: PutNodes | undefined;
  readonly #leastInTree: number;
  #first: ChunkReference | undefined;
  #tree: StoredTree | undefined;

  /** @param put how the nodes of the tree are stored, if not at once. */
  constructor(parts: TakeParts, old: OldStream, put?: PutNodes) {
    this.#parts = parts;
    this.#old = old;
    this.#put = put;
    this.#leastInTree = (parts.filesVersion ?? FILES_VERSION) < FILES_VERSION ? 1 : 2;
  }

  async append(references: readonly ChunkReference[]): Promise<void> {
    const known = this.#tree === undefined && this.#first !== undefined ? [this.#first] : [];
    this.#first ??= references[0];
    const all = [...known, ...references];
    if (this.#tree === undefined && all.length < this.#leastInTree) return;
    this.#tree ??= newTree(this.#parts, this.#old.tree, this.#put);
    await this.#tree.append(all.map(streamChunkToEntry));
  }

  /** Undefined for a stream without a byte. */
  async finish(): Promise<StoredStream | undefined> {
    if (this.#tree !== undefined) {
      const { root, bytes } = await this.#tree.finish();
      return { content: { kind: 'stream', address: root }, bytes };
    }
    await this.#old.tree?.close();
    if (this.#first === undefined) return undefined;
    const { address, length } = this.#first;
    return { content: { kind: 'chunk', address }, bytes: length };
  }
}
