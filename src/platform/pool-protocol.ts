/** What the pool of coders and its workers say to each other. Chunks in shared memory are not copied, others once. */
import type { Address } from '../core/address.js';
import type { ChunkGraph } from '../cas/chunk-graph.js';
import type { ChunkToEncode } from '../cas/coder.js';
import type { EncodeOptions } from '../cas/codec.js';
import type { UnitPatch } from '../cas/patch.js';

/** Work for a thread. */
export type Job = Work & {
  /** The buffer of a reply that nobody reads any more: the next result may stand in it. */
  readonly spare?: ArrayBuffer | undefined;
};

/** What a job is about. */
export type Work =
  | { readonly operation: 'address'; readonly chunks: readonly Uint8Array[] }
  | {
      readonly operation: 'encode';
      readonly chunks: readonly ChunkToEncode[];
      readonly kin: ChunkGraph | undefined;
      readonly options: EncodeOptions;
      /** Whether the addresses are wanted too. They come before the encoded chunks. */
      readonly addressed: boolean;
    }
  | {
      readonly operation: 'patch';
      readonly graph: ChunkGraph;
      readonly patches: readonly UnitPatch[];
      readonly options: EncodeOptions;
    }
  | { readonly operation: 'decode'; readonly graph: ChunkGraph; readonly verify: boolean }
  | { readonly operation: 'check'; readonly graph: ChunkGraph };

/**
 * A chunk that the worker encoded: how many of the bytes of the reply are its own, or that the plaintext itself is the encoded
 * form.
 */
export interface EncodedReply {
  readonly codec: number;
  readonly length: number | 'plain';
  readonly bases: readonly Address[] | undefined;
  readonly fingerprints: FingerprintsReply | undefined;
  readonly hasFalseFingerprints: boolean | undefined;
}

/** Fingerprints that the worker made, and how many of the bytes of all fingerprints they have. */
export interface FingerprintsReply {
  readonly isDelta: boolean;
  readonly length: number;
}

/**
 * A chunk that the worker decoded: how many of the bytes of the reply are its own, or that the stored bytes themselves are
 * the plaintext, or that it is damaged.
 */
export type DecodedReply = number | 'stored' | 'damaged';

/** A chunk that the worker patched. Of the bytes of the reply its own are its address, what was replaced, and the encoded form. */
export type PatchedReply =
  | 'same'
  | 'damaged'
  | { readonly codec: number; readonly length: number; readonly fingerprints: FingerprintsReply | undefined };

/** The answer to a job. All its bytes stand in one buffer, which is moved and not copied; fingerprints, which are kept for longer, in another. */
export type Reply =
  | { readonly operation: 'address' | 'check'; readonly bytes: Uint8Array }
  | {
      readonly operation: 'encode';
      readonly chunks: readonly EncodedReply[];
      readonly bytes: Uint8Array;
      readonly fingerprints: Uint8Array;
    }
  | {
      readonly operation: 'patch';
      readonly chunks: readonly PatchedReply[];
      readonly bytes: Uint8Array;
      readonly fingerprints: Uint8Array;
    }
  | { readonly operation: 'decode'; readonly chunks: readonly DecodedReply[]; readonly bytes: Uint8Array };

/** Gives memory of at least so many bytes, of any content. */
type TakeMemory = (length: number) => ArrayBuffer;

/** A job on its way, and the memory that its chunks are in if they are not in shared memory: it moves there, and back with the answer. */
export interface SentJob {
  readonly job: Job;
  readonly memory: ArrayBuffer | undefined;
}

/**
 * What is sent for a job. Chunks that are not in shared memory are copied side by side into memory that moves: sent as they are, they would
 * be copied twice, each with all of the memory that it is a part of.
 */
export function toSent(job: Job, take: TakeMemory): SentJob {
  if (job.operation === 'address') {
    const { chunks, memory } = sideBySide(job.chunks, take);
    return { job: { ...job, chunks }, memory };
  }
  if (job.operation === 'encode') {
    const plain = job.chunks.map(({ bytes }) => bytes);
    const { chunks, memory } = sideBySide(plain, take);
    if (memory === undefined) return { job, memory };
    const copies = job.chunks.map((chunk, i) => ({ ...chunk, bytes: chunks[i] as Uint8Array }));
    return { job: { ...job, chunks: copies }, memory };
  }
  return { job, memory: undefined };
}

function sideBySide(
  chunks: readonly Uint8Array[],
  take: TakeMemory,
): { readonly chunks: readonly Uint8Array[]; readonly memory: ArrayBuffer | undefined } {
  const room = chunks.reduce((sum, chunk) => sum + (isOwn(chunk) ? aligned(chunk.length) : 0), 0);
  if (room === 0) return { chunks, memory: undefined };
  const memory = take(room);
  let start = 0;
  const copies = chunks.map((chunk) => {
    if (!isOwn(chunk)) return chunk;
    const copy = new Uint8Array(memory, start, chunk.length);
    copy.set(chunk);
    start += aligned(chunk.length);
    return copy;
  });
  return { chunks: copies, memory };
}

function isOwn({ buffer }: Uint8Array): boolean {
  return buffer instanceof ArrayBuffer;
}

/** Numbers of all kinds stand at whole multiples of their width. */
function aligned(length: number): number {
  return (length + 7) & ~7;
}

/** What a worker says first: all of its code is loaded. */
export const LOADED = 'loaded';

/** A job or its answer on the way. */
export interface Envelope<T> {
  readonly id: number;
  readonly content: T;
  /** See {@link SentJob}. */
  readonly memory?: ArrayBuffer | undefined;
}
