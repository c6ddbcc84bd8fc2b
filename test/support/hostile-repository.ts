/** A repository as somebody could make it who means harm: everything fits its checksum, and says what it likes. */
import { type BlobStore, memoryBlobStore } from 'vecsnap/blob';
import { type CodecName, CODECS, type PackedChunk } from 'vecsnap/cas';
import { type Address, type ChunkKind, formatAddress, type Schema, toHex } from 'vecsnap/core';
import {
  type ChunkReference,
  encodeManifest,
  encodeNode,
  type Entry,
  type Manifest,
  type NewManifest,
  streamChunkToEntry,
  type TreeReference,
} from 'vecsnap/manifest';
import { nodeDeflate, nodeSha256 } from 'vecsnap/platform';
import {
  encodeConfig,
  encodeSnapshot,
  newConfig,
  newSnapshotId,
  type Snapshot,
  SnapshotManager,
} from 'vecsnap/snapshot';
import { memoryEnvironment } from './memory-environment.js';
import { packOf } from './packs.js';

/** One column of ids and nothing else: the least that records can have. */
export const IDS_ONLY: Schema = { id: 'string', vectors: [], payload: 'none' };

/** What a chunk is said to be, beside its bytes. */
export interface Claim {
  readonly kind?: ChunkKind;
  readonly codec?: CodecName;
  /** Bytes of plaintext. */
  readonly length?: number;
  /** Default: that of the bytes. */
  readonly address?: Address;
  readonly bases?: readonly Address[];
}

/** See the head of this file. */
export class HostileRepository {
  readonly blobs: BlobStore;
  readonly #chunks: PackedChunk[] = [];
  #snapshots = 0;

  constructor(blobs: BlobStore = memoryBlobStore()) {
    this.blobs = blobs;
  }

  /** Adds a chunk to the one pack. */
  chunk(bytes: Uint8Array, claim: Claim = {}): Address {
    const { kind = 'data', codec = 'raw', length = bytes.length, address = nodeSha256(bytes), bases } = claim;
    this.#chunks.push({ bytes, address, kind, codec: CODECS[codec], length, bases });
    return address;
  }

  /** Adds plaintext that is kept deflated: a megabyte of one value takes a kilobyte. */
  deflated(plain: Uint8Array, claim: Claim = {}): Address {
    return this.chunk(nodeDeflate.deflate(plain, 9), {
      codec: 'deflate',
      length: plain.length,
      address: nodeSha256(plain),
      ...claim,
    });
  }

  /** Adds `length` bytes of one value, which take six. */
  constant(value: number, length: number, claim: Claim = {}): Address {
    const plain = new Uint8Array(length).fill(value);
    return this.chunk(Uint8Array.of(1, 2, value), {
      codec: 'planes',
      length,
      address: nodeSha256(plain),
      ...claim,
    });
  }

  node(level: number, entries: readonly Entry[]): TreeReference {
    const root = this.deflated(encodeNode({ level, entries }), { kind: 'node' });
    const count = entries.reduce((sum, entry) => sum + entry.count, 0);
    return { root, count, bytes: entries.reduce((sum, entry) => sum + entry.bytes, 0) };
  }

  /** A tree of one file whose stream has these chunks. */
  file(path: string, stream: TreeReference): TreeReference {
    const value = ['file', 0o644, stream.root];
    return this.node(0, [{ key: Buffer.from(path), count: 1, bytes: stream.bytes, value }]);
  }

  /** A tree of one file that is this chunk. */
  fileOfChunk(path: string, { address, length }: ChunkReference): TreeReference {
    const value = ['file', 0o644, [address]];
    return this.node(0, [{ key: Buffer.from(path), count: 1, bytes: length, value }]);
  }

  /** A stream of one chunk. */
  stream(bytes: Uint8Array): TreeReference {
    return this.node(0, [streamChunkToEntry({ address: this.chunk(bytes), length: bytes.length })]);
  }

  /** Adds a snapshot of a manifest. */
  async snapshot(content: Partial<Manifest>, says: Partial<Snapshot> = {}): Promise<Snapshot> {
    const manifest: NewManifest = {
      format: { name: 'directory', mode: 0o755 },
      schema: undefined,
      records: undefined,
      files: undefined,
      ...content,
    };
    return this.snapshotOf(this.chunk(encodeManifest(manifest), { kind: 'node' }), manifest, says);
  }

  async snapshotOf(
    address: Address,
    { records, files }: Pick<Manifest, 'records' | 'files'>,
    says: Partial<Snapshot> = {},
  ): Promise<Snapshot> {
    const time = Date.UTC(2024, 0, 1) + 1000 * ++this.#snapshots;
    const logicalBytes = (records?.bytes ?? 0) + (files?.bytes ?? 0);
    const snapshot: Snapshot = {
      id: newSnapshotId(time, (length) => new Uint8Array(length).fill(this.#snapshots)),
      name: 'hostile',
      collection: 'hostile',
      createdAt: new Date(time).toISOString(),
      snapshotType: 'full',
      baseId: null,
      vectorCount: records?.count ?? 0,
      fileCount: files?.count ?? 0,
      checksum: formatAddress(address, 'node'),
      sizeBytes: logicalBytes,
      logicalBytes,
      addedBytes: 0,
      nonFiniteCount: 0,
      tags: [],
      metadata: {},
      notes: [],
      pinned: false,
      ...says,
    };
    await this.blobs.put(`snapshots/${snapshot.id}`, encodeSnapshot(snapshot, nodeSha256));
    return snapshot;
  }

  /** Writes the pack and the config. */
  async write(): Promise<void> {
    await this.blobs.put(`packs/${toHex(new Uint8Array(16))}`, packOf(this.#chunks).bytes);
    const config = newConfig((length) => new Uint8Array(length));
    await this.blobs.put('config', encodeConfig(config, nodeSha256));
  }

  /** Writes it, and opens it as a reader does. */
  async open(): Promise<SnapshotManager> {
    await this.write();
    return SnapshotManager.open({
      environment: memoryEnvironment({ blobs: this.blobs, sha256: nodeSha256 }),
    });
  }
}
