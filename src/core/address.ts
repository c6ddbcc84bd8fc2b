/**
 * Addresses: the SHA-256 of a chunk's plaintext.
 *
 * In memory and in the index an address is the 32 bytes of the digest. As text it is a CIDv1 in base32
 * (https://github.com/multiformats/cid): codec `raw` (0x55) for data, `messagepack` (0x0201) for tree nodes
 * and manifests.
 */
// The class CID would do the same, and take twice as long to load and four times as long to use.
import { base32 } from 'multiformats/bases/base32';
import { concatBytes, equalBytes } from './bytes.js';
import { VecsnapError } from './errors.js';

declare const addressBrand: unique symbol;

/** The 32 bytes of a SHA-256 digest. Made only by hashing or by parsing. */
export type Address = Uint8Array & { readonly [addressBrand]: true };

/** What a chunk holds: bare data, or a node of a tree in canonical msgpack. */
export type ChunkKind = 'data' | 'node';

/** Bytes in an address. */
export const ADDRESS_LENGTH = 32;

const REMEDY = 'Give the address as vecsnap prints it: bafkrei… for data, bagaqiera… for nodes.';
/** What stands before the digest: version 1, the codec as a varint, SHA2-256, and the length of the digest. */
const KIND_TO_PREFIX: Readonly<Record<ChunkKind, Uint8Array>> = {
  data: Uint8Array.of(0x01, 0x55, 0x12, ADDRESS_LENGTH),
  node: Uint8Array.of(0x01, 0x81, 0x04, 0x12, ADDRESS_LENGTH),
};
const KINDS = ['data', 'node'] as const;

/**
 * Takes 32 bytes as an address.
 * @throws VecsnapError ADDRESS_INVALID for any other length.
 */
export function toAddress(digest: Uint8Array): Address {
  if (digest.length !== ADDRESS_LENGTH) {
    throw new VecsnapError('ADDRESS_INVALID', `An address has 32 bytes, not ${digest.length}.`);
  }
  return digest as Address;
}

/** The CIDv1 of an address, for example `bafkrei…` for data. */
export function formatAddress(address: Address, kind: ChunkKind): string {
  return base32.encode(concatBytes([KIND_TO_PREFIX[kind], address]));
}

/**
 * Reads what {@link formatAddress} wrote.
 * @throws VecsnapError ADDRESS_INVALID when the text is no CIDv1 of a SHA-256 with one of the two codecs, or not the one text that it has.
 */
export function parseAddress(text: string): { address: Address; kind: ChunkKind } {
  const bytes = decodeBase32(text);
  const kind = KINDS.find((one) => beginsWith(bytes, KIND_TO_PREFIX[one]));
  const digest = bytes.slice(-ADDRESS_LENGTH);
  // Compared as text, because the decoder also takes padding.
  if (
    kind === undefined ||
    digest.length < ADDRESS_LENGTH ||
    formatAddress(digest as Address, kind) !== text
  ) {
    throw new VecsnapError('ADDRESS_INVALID', 'The CID is not a CIDv1 of a SHA-256 in a codec of vecsnap.', {
      place: text,
      remedy: REMEDY,
    });
  }
  return { address: toAddress(digest), kind };
}

function decodeBase32(text: string): Uint8Array {
  try {
    return base32.decode(text);
  } catch (cause) {
    throw new VecsnapError('ADDRESS_INVALID', 'The text is no CID in base32.', {
      place: text,
      remedy: REMEDY,
      cause,
    });
  }
}

function beginsWith(bytes: Uint8Array, prefix: Uint8Array): boolean {
  return equalBytes(bytes.subarray(0, prefix.length), prefix);
}
