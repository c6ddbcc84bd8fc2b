/** Deflate as Node.js offers it. In a file of its own, because what only lists snapshots does not need it. */
import { constants, deflateRawSync, inflateRawSync } from 'node:zlib';
import type { Deflate } from '../core/platform.js';

/** Raw deflate by zlib. */
export const nodeDeflate: Deflate = {
  deflate(bytes, effort) {
    const options =
      effort === 'huffman'
        ? { level: 1, memLevel: 9, strategy: constants.Z_HUFFMAN_ONLY }
        : { level: effort };
    return deflateRawSync(bytes, options);
  },
  inflate(bytes, length) {
    const plain = inflateRawSync(bytes, { maxOutputLength: Math.max(1, length) });
    if (plain.length !== length) throw new RangeError(`inflated to ${plain.length} bytes, not ${length}`);
    return plain;
  },
};
