/** A tree whose nodes are stored as they are complete. */
import type { NewChunk } from '../cas/index.js';
import type { BuiltNode, BuiltTree, Entry } from '../manifest/index.js';
import { TreeBuilder } from '../manifest/tree-builder.js';
import type { Alignment } from './alignment.js';
import type { TakeParts } from './take.js';

/** Nodes that are stored together. */
const NODES_TOGETHER = 64;

/** Stores nodes. */
export type PutNodes = (nodes: readonly NewChunk[]) => Promise<unknown>;

/** See the head of this file. */
export class StoredTree {
  readonly #builder: TreeBuilder;
  readonly #put: PutNodes;
  readonly #alignment: Alignment | undefined;
  #nodes: NewChunk[] = [];
  /** For each level, where the plaintext below the next node begins. */
  readonly #starts: number[] = [];

  /** @param alignment the tree of the snapshot before, whose nodes new ones are told by; it is closed when this is finished. */
  constructor(builder: TreeBuilder, put: PutNodes, alignment: Alignment | undefined) {
    this.#builder = builder;
    this.#put = put;
    this.#alignment = alignment;
  }

  async append(entries: readonly Entry[]): Promise<void> {
    for (const node of this.#builder.append(entries)) await this.#keep(node);
  }

  async finish(): Promise<BuiltTree> {
    const { nodes, tree } = this.#builder.finish();
    for (const node of nodes) await this.#keep(node);
    await this.#flush();
    await this.#alignment?.close();
    return tree;
  }

  async #keep({ bytes, level, key, covered }: BuiltNode): Promise<void> {
    const start = this.#starts[level] ?? 0;
    this.#starts[level] = start + covered;
    const like = this.#alignment?.nodeLike(level, key, start);
    const similar = like && { unit: 1, addresses: [like] };
    this.#nodes.push({ bytes, width: 0, kind: 'node', similar });
    if (this.#nodes.length >= NODES_TOGETHER) await this.#flush();
  }

  async #flush(): Promise<void> {
    const nodes = this.#nodes;
    this.#nodes = [];
    await this.#put(nodes);
  }
}

/** A tree that is told by another, where there is one. @param put how its nodes are stored, if not at once. */
export function newTree(
  { config, sha256, writer }: Pick<TakeParts, 'config' | 'sha256' | 'writer'>,
  alignment: Alignment | undefined,
  put: PutNodes = (nodes) => writer.put(nodes),
): StoredTree {
  return new StoredTree(new TreeBuilder(sha256, config.nodes), put, alignment);
}
