/** A coder that shares its work among worker threads. */
import { availableParallelism } from 'node:os';
import { Worker, type WorkerOptions } from 'node:worker_threads';
import { type Address, ADDRESS_LENGTH } from '../core/address.js';
import { VecsnapError } from '../core/errors.js';
import type { CodecNumber, CompressionOptions, EncodedChunk } from '../cas/codec.js';
import { type ChunkGraph, plainBytes } from '../cas/chunk-graph.js';
import { type ChunkCoder, type ChunkToEncode, inlineCoder } from '../cas/coder.js';
import { nodeReadFile, nodeSha256 } from './node.js';
import { nodeDeflate } from './node-deflate.js';
import { type Envelope, type Job, LOADED, type Reply } from './pool-protocol.js';

/** Below this many bytes the way to a worker and back costs more than the work. */
const INLINE_BYTES = 48 * 1024;

/** Buffers that are kept for jobs to come: as many as the packs that are written at the same time may give back. */
const MOST_SPARE = 32;

interface Member {
  readonly worker: Worker;
  /** Resolves when its code is loaded, or when it has come to its end. */
  readonly loaded: Promise<void>;
  readonly waiting: Map<number, { resolve: (reply: Reply) => void; reject: (error: Error) => void }>;
}

/**
 * A coder with up to `size` worker threads, which start with the first large piece of work. With a size of 1 or less, all
 * work is done in the calling thread.
 */
export function pooledCoder(size = availableParallelism()): ChunkCoder {
  const inline = inlineCoder({ sha256: nodeSha256, deflate: nodeDeflate, readFile: nodeReadFile });
  if (size <= 1) return inline;
  const members: Member[] = [];
  let lastId = 0;
  /** Of buffers with encoded chunks, how many of these are still needed. */
  const needed = new WeakMap<ArrayBufferLike, number>();
  const spare: ArrayBuffer[] = [];

  const send = (job: Job, moved: ArrayBuffer[] = []): Promise<Reply> => {
    if (members.length < size) members.push(startMember(members));
    const member = members.reduce((a, b) => (b.waiting.size < a.waiting.size ? b : a));
    const id = ++lastId;
    return new Promise((resolve, reject) => {
      member.worker.postMessage({ id, content: job } satisfies Envelope<Job>, moved); // Throws for what cannot be sent.
      member.waiting.set(id, { resolve, reject });
      member.worker.ref();
    });
  };

  const encode = async (
    chunks: readonly ChunkToEncode[],
    options: CompressionOptions,
    addressed: boolean,
    kin: ChunkGraph | undefined,
  ): Promise<{ forms: EncodedChunk[]; addresses: Address[] }> => {
    const buffer = spare.pop();
    const job: Job = { operation: 'encode', chunks, kin, options, addressed, spare: buffer };
    const reply = (await send(job, buffer && [buffer])) as Reply & { operation: 'encode' };
    needed.set(reply.bytes.buffer, reply.chunks.filter(({ length }) => length !== 'plain').length);
    const take = taker(reply.bytes);
    // Copied, because the buffer will be used again.
    const addresses = addressed ? addressesIn(take(chunks.length * ADDRESS_LENGTH).slice()) : [];
    const forms = reply.chunks.map(({ codec, length, bases }, i) => ({
      codec: codec as CodecNumber,
      bases,
      bytes: length === 'plain' ? (chunks[i] as ChunkToEncode).bytes : take(length),
    }));
    return { forms, addresses };
  };

  return {
    readsFiles: true,
    async address(chunks) {
      if (sumBytes(chunks) < INLINE_BYTES) return inline.address(chunks);
      return addressesIn((await send({ operation: 'address', chunks })).bytes);
    },
    async encode(chunks, options, kin) {
      if (sumBytes(chunks.map(({ bytes }) => bytes)) < INLINE_BYTES)
        return inline.encode(chunks, options, kin);
      return (await encode(chunks, options, false, kin)).forms;
    },
    async addressAndEncode(chunks, options, kin) {
      if (sumBytes(chunks.map(({ bytes }) => bytes)) < INLINE_BYTES)
        return inline.addressAndEncode(chunks, options, kin);
      const { forms, addresses } = await encode(chunks, options, true, kin);
      return forms.map((form, i) => ({ ...form, address: addresses[i] as Address }));
    },
    release(encoded) {
      for (const { buffer } of encoded) {
        const left = (needed.get(buffer) ?? 0) - 1;
        if (left >= 0) needed.set(buffer, left);
        if (left === 0 && spare.length < MOST_SPARE) spare.push(buffer as ArrayBuffer);
      }
    },
    async decode(graph, verify) {
      if (plainBytes(graph) < INLINE_BYTES) return inline.decode(graph, verify);
      const reply = (await send({ operation: 'decode', graph, verify })) as Reply & { operation: 'decode' };
      const take = taker(reply.bytes);
      return reply.chunks.map((plain, i) => {
        if (plain === 'damaged') return undefined;
        return plain === 'stored' ? graph.memory[graph.roots[i] as number] : take(plain);
      });
    },
    async check(graph) {
      if (plainBytes(graph) < INLINE_BYTES) return inline.check(graph);
      return addressesIn((await send({ operation: 'check', graph })).bytes);
    },
    prepare() {
      while (members.length < size) members.push(startMember(members));
    },
    async close() {
      await Promise.all(members.splice(0).map(endMember));
    },
  };
}

function startMember(members: Member[]): Member {
  const worker = new Worker(new URL('./pool-worker.js', import.meta.url), workerOptions());
  const member: Member = {
    worker,
    waiting: new Map(),
    loaded: new Promise((resolve) => {
      worker.once('message', () => resolve());
      worker.once('exit', () => resolve());
    }),
  };
  worker.unref(); // An idle worker keeps no process alive; one that has work does.
  worker.on('message', (message: Envelope<Reply> | typeof LOADED) => {
    if (message === LOADED) return;
    const { id, content } = message;
    const waiting = member.waiting.get(id);
    member.waiting.delete(id);
    if (member.waiting.size === 0) worker.unref();
    waiting?.resolve(content);
  });
  const fail = (why: string, cause?: unknown): void => {
    const at = members.indexOf(member);
    if (at >= 0) members.splice(at, 1);
    for (const { reject } of member.waiting.values()) reject(workerFailed(why, cause));
    member.waiting.clear();
  };
  worker.on('error', (cause: unknown) => fail(cause instanceof Error ? cause.message : 'an error', cause));
  worker.on('exit', (code) => fail(`it ended with code ${code}`));
  return member;
}

/** Ends a worker, but not while it loads: the file that it was reading would stay open for as long as the process lives. */
async function endMember({ worker, loaded }: Member): Promise<void> {
  worker.ref();
  await loaded;
  await worker.terminate();
}

/** A program that is given on the command line may have an option that no worker takes, and would hand it on. */
function workerOptions(): WorkerOptions {
  return process.execArgv.some((option) => option.startsWith('--input-type')) ? { execArgv: [] } : {};
}

function workerFailed(why: string, cause: unknown): VecsnapError {
  return new VecsnapError('WORKER_FAILED', `A worker thread could not do its work: ${why}.`, {
    place: 'a worker thread',
    remedy: 'Try again. When memory is short, fewer threads help: SnapshotManager takes workers: 1.',
    cause,
  });
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

function sumBytes(chunks: readonly Uint8Array[]): number {
  return chunks.reduce((sum, { length }) => sum + length, 0);
}
