/** A worker of the pool: hashes, encodes and decodes what it is sent. */
import { parentPort } from 'node:worker_threads';
import { encodeChunk, CODECS } from '../cas/codec.js';
import { decodeStored } from '../cas/coder.js';
import { nodeDeflate, nodeSha256 } from './node.js';
import type { DecodedReply, EncodedReply, Envelope, Job, Reply } from './pool-protocol.js';

const primitives = { sha256: nodeSha256, deflate: nodeDeflate };

parentPort?.on('message', ({ id, content }: Envelope<Job>) => {
  const reply = run(content);
  parentPort?.postMessage({ id, content: reply } satisfies Envelope<Reply>, movable(reply));
});

function run(job: Job): Reply {
  if (job.operation === 'address') return { operation: 'address', digests: addressAll(job.chunks) };
  if (job.operation === 'encode') return { operation: 'encode', chunks: encodeAll(job) };
  return { operation: 'decode', chunks: decodeAll(job) };
}

function addressAll(chunks: readonly Uint8Array[]): Uint8Array {
  const digests = new Uint8Array(chunks.length * 32);
  for (const [i, chunk] of chunks.entries()) digests.set(nodeSha256(chunk), i * 32);
  return digests;
}

function encodeAll({ chunks, options }: Job & { operation: 'encode' }): EncodedReply[] {
  return chunks.map((chunk) => {
    const { codec, bytes } = encodeChunk(chunk, options, nodeDeflate);
    return { codec, bytes: codec === CODECS.raw ? undefined : ownBuffer(bytes) };
  });
}

function decodeAll({ chunks, verify }: Job & { operation: 'decode' }): DecodedReply[] {
  return chunks.map((chunk) => {
    const plain = decodeStored(chunk, verify, primitives);
    if (plain === undefined) return 'damaged';
    return plain === chunk.bytes ? 'stored' : ownBuffer(plain);
  });
}

/** The bytes in a buffer that holds nothing else, so that it can be moved to another thread. */
function ownBuffer(bytes: Uint8Array): Uint8Array {
  return bytes.byteLength === bytes.buffer.byteLength ? bytes : new Uint8Array(bytes);
}

function movable(reply: Reply): ArrayBuffer[] {
  const parts = reply.operation === 'address' ? [reply.digests] : reply.chunks.map(bytesOf);
  return parts.flatMap((part) => (part?.buffer instanceof ArrayBuffer ? [part.buffer] : []));
}

function bytesOf(chunk: EncodedReply | DecodedReply): Uint8Array | undefined {
  if (chunk instanceof Uint8Array) return chunk;
  return typeof chunk === 'string' ? undefined : chunk.bytes;
}
