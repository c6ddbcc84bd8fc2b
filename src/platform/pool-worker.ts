/** A worker of the pool: hashes, encodes and decodes what it is sent. */
import { parentPort } from 'node:worker_threads';
import { concatBytes } from '../core/bytes.js';
import { CODECS, damagedAmong, encodeChunk } from '../cas/codec.js';
import { decodeStored } from '../cas/coder.js';
import { nodeSha256 } from './node.js';
import { nodeDeflate } from './node-deflate.js';
import type { DecodedReply, EncodedReply, Envelope, Job, Reply } from './pool-protocol.js';

const primitives = { sha256: nodeSha256, deflate: nodeDeflate };

parentPort?.on('message', ({ id, content }: Envelope<Job>) => {
  const reply = run(content);
  parentPort?.postMessage({ id, content: reply } satisfies Envelope<Reply>, [
    reply.bytes.buffer as ArrayBuffer,
  ]);
});

function run(job: Job): Reply {
  if (job.operation === 'address')
    return { operation: 'address', bytes: concatBytes(job.chunks.map(nodeSha256)) };
  if (job.operation === 'check')
    return { operation: 'check', bytes: concatBytes(damagedAmong(job.chunks, primitives)) };
  return job.operation === 'encode' ? encodeAll(job) : decodeAll(job);
}

function encodeAll({ chunks, options }: Job & { operation: 'encode' }): Reply {
  const parts: Uint8Array[] = [];
  const replies = chunks.map((chunk): EncodedReply => {
    const { codec, bytes, bases } = encodeChunk(chunk, options, primitives);
    if (codec === CODECS.raw) return { codec, length: 'plain', bases };
    parts.push(bytes);
    return { codec, length: bytes.length, bases };
  });
  return { operation: 'encode', chunks: replies, bytes: concatBytes(parts) };
}

function decodeAll({ chunks, verify }: Job & { operation: 'decode' }): Reply {
  const parts: Uint8Array[] = [];
  const replies = chunks.map((chunk): DecodedReply => {
    const plain = decodeStored(chunk, verify, primitives);
    if (plain === undefined) return 'damaged';
    if (plain === chunk.bytes) return 'stored';
    parts.push(plain);
    return plain.length;
  });
  return { operation: 'decode', chunks: replies, bytes: concatBytes(parts) };
}
