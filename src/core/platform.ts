/** What the pure parts need from the machine. Implementations stand in src/platform. */
import type { Address } from './address.js';

/** SHA-256 of the bytes. */
export type Sha256 = (bytes: Uint8Array) => Address;

/** SHA-256 of two byte strings that begin with the same `shared` bytes, which are hashed once. */
export type Sha256OfTwo = (a: Uint8Array, b: Uint8Array, shared: number) => readonly [Address, Address];

/** Raw deflate, RFC 1951. */
export interface Deflate {
  /** @param level from 1 (fast) to 9 (small). */
  readonly deflate: (bytes: Uint8Array, level: number) => Uint8Array;
  /**
   * Inflates to exactly `length` bytes.
   * @throws when the bytes are no deflate stream, or inflate to another length.
   */
  readonly inflate: (bytes: Uint8Array, length: number) => Uint8Array;
  /** The same, but also throws when bits behind the end of the stream, which mean nothing, are not zero as they were written. */
  readonly inflateStrictly?: (bytes: Uint8Array, length: number) => Uint8Array;
}

/** Says whether so many bytes of one array, from a place on, are those of another. */
export type RangesEqual = (from: number, otherFrom: number, length: number) => boolean;

/** Compares ranges of two arrays. */
export type CompareRanges = (bytes: Uint8Array, other: Uint8Array) => RangesEqual;

/** Milliseconds since 1970, UTC. */
export interface Clock {
  now(): number;
}

/** Fills the bytes with random values and returns them. */
export type RandomBytes = (length: number) => Uint8Array;
