/** A coder that shares its work among threads. */
import { availableParallelism } from 'node:os';
import { type Address, ADDRESS_LENGTH } from '../core/address.js';
import { CODECS, type CodecNumber, type EncodeOptions, type EncodedChunk } from '../cas/codec.js';
import { addressOfRoot, type ChunkGraph, plainBytes } from '../cas/chunk-graph.js';
import type { UnitPatch } from '../cas/patch.js';
import type { StoredFingerprints } from '../cas/fingerprints.js';
import { type ChunkCoder, type ChunkToEncode, inlineCoder } from '../cas/coder.js';
import { nodeReadFile, nodeSha256 } from './node.js';
import { nodeDeflate } from './node-deflate.js';
import type { FingerprintsReply, Reply, Work } from './pool-protocol.js';
import { ThreadPool } from './thread-pool.js';

/** Below this many bytes the way to a worker and back costs more than the work. */
const INLINE_BYTES = 48 * 1024;

/** What a chunk takes to encode beside its bytes, in bytes that could be encoded meanwhile: at the least. */
const BYTES_PER_CHUNK = 1024;

/** Buffers that are kept for jobs to come: as many as a store may give back at once that puts packs as a whole. */
const MOST_SPARE = 32;

/** How a {@link pooledCoder} works. */
export interface PoolOptions {
  /** Threads that share the work. With 1 or less, all of it is done in the calling thread. Default: as many as the machine runs at once. */
  readonly threads?: number | undefined;
  /** Whether the calling thread is one of them, because nobody else waits for it. Default: false. */
  readonly helps?: boolean | undefined;
}

/** A coder with worker threads, which start with the first large piece of work. */
export function pooledCoder({
  threads = availableParallelism(),
  helps = false,
}: PoolOptions = {}): ChunkCoder {
  const inline = inlineCoder({ sha256: nodeSha256, deflate: nodeDeflate, readFile: nodeReadFile });
  if (threads <= 1) return inline;
  const pool = new ThreadPool(helps ? threads - 1 : threads, helps);
  /** Of buffers with results, how many of these are still needed. */
  const needed = new WeakMap<ArrayBufferLike, number>();
  const spare: ArrayBuffer[] = [];

  const run = async <R extends Reply>(work: Work): Promise<R> =>
    (await pool.run({ ...work, spare: spare.pop() })) as R;

  const encode = async (
    chunks: readonly ChunkToEncode[],
    options: EncodeOptions,
    addressed: boolean,
    kin: ChunkGraph | undefined,
  ): Promise<{ forms: EncodedChunk[]; addresses: Address[] }> => {
    const reply = await run<Reply & { operation: 'encode' }>({
      operation: 'encode',
      chunks,
      kin,
      options,
      addressed,
    });
    needed.set(reply.bytes.buffer, reply.chunks.filter(({ length }) => length !== 'plain').length);
    const take = taker(reply.bytes);
    const takeFingerprints = fingerprintsTaker(reply.fingerprints);
    // Copied, because the buffer will be used again.
    const addresses = addressed ? addressesIn(take(chunks.length * ADDRESS_LENGTH).slice()) : [];
    const forms = reply.chunks.map(({ codec, length, bases, fingerprints, hasFalseFingerprints }, i) => ({
      codec: codec as CodecNumber,
      bases,
      bytes: length === 'plain' ? (chunks[i] as ChunkToEncode).bytes : take(length),
      fingerprints: takeFingerprints(fingerprints),
      hasFalseFingerprints,
    }));
    return { forms, addresses };
  };

  return {
    readsFiles: true,
    async address(chunks) {
      if (sumBytes(chunks) < INLINE_BYTES) return inline.address(chunks);
      return addressesIn((await pool.run({ operation: 'address', chunks })).bytes);
    },
    async encode(chunks, options, kin) {
      if (workOf(chunks) < INLINE_BYTES) return inline.encode(chunks, options, kin);
      return (await encode(chunks, options, false, kin)).forms;
    },
    async addressAndEncode(chunks, options, kin) {
      if (workOf(chunks) < INLINE_BYTES) return inline.addressAndEncode(chunks, options, kin);
      const { forms, addresses } = await encode(chunks, options, true, kin);
      return forms.map((form, i) => ({ ...form, address: addresses[i] as Address }));
    },
    release(results) {
      for (const { buffer } of results) {
        const left = (needed.get(buffer) ?? 0) - 1;
        if (left >= 0) needed.set(buffer, left);
        if (left === 0 && spare.length < MOST_SPARE) spare.push(buffer as ArrayBuffer);
      }
    },
    async patch(graph, patches, options) {
      if (plainBytes(graph) < INLINE_BYTES) return inline.patch(graph, patches, options);
      const job = { operation: 'patch', graph, patches, options } as const;
      const reply = await run<Reply & { operation: 'patch' }>(job);
      needed.set(reply.bytes.buffer, reply.chunks.filter((patched) => typeof patched !== 'string').length);
      const take = taker(reply.bytes);
      const takeFingerprints = fingerprintsTaker(reply.fingerprints);
      return reply.chunks.map((patched, i) => {
        if (typeof patched === 'string') return patched;
        const address = take(ADDRESS_LENGTH).slice() as Address; // Copied, because the buffer will be used again.
        const replaced = take((patches[i] as UnitPatch).bytes.length).slice();
        const codec = patched.codec as CodecNumber;
        const bases = codec === CODECS.delta ? [addressOfRoot(graph, i)] : undefined;
        const fingerprints = takeFingerprints(patched.fingerprints);
        return { address, replaced, codec, bases, bytes: take(patched.length), fingerprints };
      });
    },
    async decode(graph, verify) {
      if (plainBytes(graph) < INLINE_BYTES) return inline.decode(graph, verify);
      const reply = await run<Reply & { operation: 'decode' }>({ operation: 'decode', graph, verify });
      needed.set(reply.bytes.buffer, reply.chunks.filter((plain) => typeof plain === 'number').length);
      const take = taker(reply.bytes);
      return reply.chunks.map((plain, i) => {
        if (plain === 'damaged') return undefined;
        return plain === 'stored' ? graph.memory[graph.roots[i] as number] : take(plain);
      });
    },
    async check(graph) {
      if (plainBytes(graph) < INLINE_BYTES) return inline.check(graph);
      return addressesIn((await pool.run({ operation: 'check', graph })).bytes);
    },
    prepare: () => pool.start(),
    close: () => pool.close(),
  };
}

/** Addresses that are joined. */
function addressesIn(bytes: Uint8Array): Address[] {
  return Array.from(
    { length: bytes.length / ADDRESS_LENGTH },
    (_, i) => bytes.subarray(i * ADDRESS_LENGTH, (i + 1) * ADDRESS_LENGTH) as Address,
  );
}

/** Takes one part after the other from bytes that are joined. */
function taker(joined: Uint8Array): (length: number) => Uint8Array {
  let offset = 0;
  return (length) => {
    offset += length;
    return joined.subarray(offset - length, offset);
  };
}

/** Takes the fingerprints of one chunk after the other from those of a reply. */
function fingerprintsTaker(
  joined: Uint8Array,
): (fingerprints: FingerprintsReply | undefined) => StoredFingerprints | undefined {
  const take = taker(joined);
  return (fingerprints) =>
    fingerprints && { isDelta: fingerprints.isDelta, bytes: take(fingerprints.length) };
}

/** What encoding takes, in bytes of large chunks. */
function workOf(chunks: readonly ChunkToEncode[]): number {
  return chunks.reduce((sum, { bytes }) => sum + bytes.length + BYTES_PER_CHUNK, 0);
}

function sumBytes(chunks: readonly Uint8Array[]): number {
  return chunks.reduce((sum, { length }) => sum + length, 0);
}
