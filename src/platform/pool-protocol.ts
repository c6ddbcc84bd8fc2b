/** What the pool of coders and its workers say to each other. Bytes in shared memory are not copied. */
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

/** What a worker says first: all of its code is loaded. */
export const LOADED = 'loaded';

/** A job or its answer on the way. */
export interface Envelope<T> {
  readonly id: number;
  readonly content: T;
}
