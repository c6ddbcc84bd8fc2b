/** What the pool of coders and its workers say to each other. Bytes in shared memory are not copied. */
import type { Address } from '../core/address.js';
import type { ChunkGraph } from '../cas/chunk-graph.js';
import type { ChunkToEncode } from '../cas/coder.js';
import type { CompressionOptions } from '../cas/codec.js';

/** Work for a worker. */
export type Job =
  | { readonly operation: 'address'; readonly chunks: readonly Uint8Array[] }
  | {
      readonly operation: 'encode';
      readonly chunks: readonly ChunkToEncode[];
      readonly kin: ChunkGraph | undefined;
      readonly options: CompressionOptions;
      /** Whether the addresses are wanted too. They come before the encoded chunks. */
      readonly addressed: boolean;
      /** The buffer of a reply that nobody reads any more. */
      readonly spare: ArrayBuffer | undefined;
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
}

/**
 * A chunk that the worker decoded: how many of the bytes of the reply are its own, or that the stored bytes themselves are
 * the plaintext, or that it is damaged.
 */
export type DecodedReply = number | 'stored' | 'damaged';

/** The answer to a job. All its bytes stand in one buffer, which is moved and not copied. */
export type Reply =
  | { readonly operation: 'address' | 'check'; readonly bytes: Uint8Array }
  | { readonly operation: 'encode'; readonly chunks: readonly EncodedReply[]; readonly bytes: Uint8Array }
  | { readonly operation: 'decode'; readonly chunks: readonly DecodedReply[]; readonly bytes: Uint8Array };

/** What a worker says first: all of its code is loaded. */
export const LOADED = 'loaded';

/** A job or its answer on the way. */
export interface Envelope<T> {
  readonly id: number;
  readonly content: T;
}
