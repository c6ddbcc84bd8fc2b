/**
 * Addresses: the SHA-256 of a chunk's plaintext.
 *
 * In memory and in the index an address is the 32 bytes of the digest. As text it is a CIDv1 in base32
 * (https://github.com/multiformats/cid): codec `raw` (0x55) for data, `messagepack` (0x0201) for tree nodes
 * and manifests.
 */
import { CID } from 'multiformats/cid';
import * as MultihashDigest from 'multiformats/hashes/digest';
import { VecsnapError } from './errors.js';

declare const addressBrand: unique symbol;

/** The 32 bytes of a SHA-256 digest. Made only by hashing or by parsing. */
export type Address = Uint8Array & { readonly [addressBrand]: true };

/** What a chunk holds: bare data, or a node of a tree in canonical msgpack. */
export type ChunkKind = 'data' | 'node';

/** Bytes in an address. */
export const ADDRESS_LENGTH = 32;

const SHA2_256 = 0x12;
const KIND_TO_CODEC: Readonly<Record<ChunkKind, number>> = { data: 0x55, node: 0x0201 };

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
  return CID.createV1(KIND_TO_CODEC[kind], MultihashDigest.create(SHA2_256, address)).toString();
}

/**
 * Reads what {@link formatAddress} wrote.
 * @throws VecsnapError ADDRESS_INVALID when the text is no CIDv1 of a SHA-256 with one of the two codecs, or not the one text that it has.
 */
export function parseAddress(text: string): { address: Address; kind: ChunkKind } {
  const cid = parseCid(text);
  const kind = (Object.keys(KIND_TO_CODEC) as ChunkKind[]).find((name) => KIND_TO_CODEC[name] === cid.code);
  if (cid.version !== 1 || cid.multihash.code !== SHA2_256 || kind === undefined) {
    throw new VecsnapError('ADDRESS_INVALID', 'The CID is not a CIDv1 of a SHA-256 in a codec of vecsnap.', {
      place: text,
    });
  }
  const address = toAddress(cid.multihash.digest);
  if (formatAddress(address, kind) !== text) {
    throw new VecsnapError('ADDRESS_INVALID', 'The CID is written in another base or in upper case.', {
      place: text,
      remedy: `Write it as ${formatAddress(address, kind)}.`,
    });
  }
  return { address, kind };
}

function parseCid(text: string): CID {
  try {
    return CID.parse(text);
  } catch (cause) {
    throw new VecsnapError('ADDRESS_INVALID', 'The text is not a CID.', { place: text, cause });
  }
}
