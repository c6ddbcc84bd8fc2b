/** A worker of the pool: hashes, encodes and decodes what it is sent. */
import { parentPort } from 'node:worker_threads';
import { type ChunkGraph, readGraph } from '../cas/chunk-graph.js';
import { CODECS, damagedAmong, encodeChunk, type StoredChunk } from '../cas/codec.js';
import { decodeStored, withKin } from '../cas/coder.js';
import { nodeReadFile, nodeSha256 } from './node.js';
import { nodeDeflate } from './node-deflate.js';
import {
  type DecodedReply,
  type EncodedReply,
  type Envelope,
  type Job,
  LOADED,
  type Reply,
} from './pool-protocol.js';
import { ReadRoom } from './read-room.js';
import { ResultBuffer } from './result-buffer.js';

const results = new ResultBuffer();
const room = new ReadRoom();
const primitives = {
  sha256: nodeSha256,
  deflate: nodeDeflate,
  fresh: (length: number) => results.take(length),
};

parentPort?.on('message', ({ id, content }: Envelope<Job>) => {
  const reply = run(content);
  parentPort?.postMessage({ id, content: reply } satisfies Envelope<Reply>, [
    reply.bytes.buffer as ArrayBuffer,
  ]);
});

parentPort?.postMessage(LOADED);

function run(job: Job): Reply {
  if (job.operation === 'address') return addressAll(job);
  if (job.operation === 'check') return checkAll(job);
  return job.operation === 'encode' ? encodeAll(job) : decodeAll(job);
}

function addressAll({ chunks }: Job & { operation: 'address' }): Reply {
  const addresses = chunks.map(nodeSha256);
  results.begin(0);
  for (const address of addresses) results.add(address);
  return { operation: 'address', bytes: results.finish() };
}

function checkAll({ graph }: Job & { operation: 'check' }): Reply {
  const chunks = read(graph);
  results.begin(Math.max(0, ...chunks.map(({ length }) => length)));
  const damaged = damagedAmong(chunks, primitives);
  for (const address of damaged) results.add(address);
  return { operation: 'check', bytes: results.finish() };
}

function encodeAll({ chunks, kin, options, addressed, spare }: Job & { operation: 'encode' }): Reply {
  if (spare !== undefined) results.reuse(spare);
  results.begin(chunks.reduce((sum, { bytes }) => sum + bytes.length, 0));
  if (addressed) for (const { bytes } of chunks) results.add(nodeSha256(bytes));
  const known = kin === undefined ? [] : read(kin);
  const replies = chunks.map((chunk): EncodedReply => {
    const { codec, bytes, bases } = encodeChunk(withKin(chunk, known), options, primitives);
    if (codec === CODECS.raw) return { codec, length: 'plain', bases };
    results.add(bytes);
    return { codec, length: bytes.length, bases };
  });
  return { operation: 'encode', chunks: replies, bytes: results.finish() };
}

function decodeAll({ graph, verify }: Job & { operation: 'decode' }): Reply {
  const chunks = read(graph);
  results.begin(chunks.reduce((sum, { length }) => sum + length, 0));
  const replies = chunks.map((chunk): DecodedReply => {
    const plain = decodeStored(chunk, verify, primitives);
    if (plain === undefined) return 'damaged';
    if (plain === chunk.bytes && !room.holds(plain)) return 'stored';
    results.add(plain);
    return plain.length;
  });
  return { operation: 'decode', chunks: replies, bytes: results.finish() };
}

/** The chunks of a graph; those that are read from files are there until the next job. */
function read(graph: ChunkGraph): StoredChunk[] {
  room.begin();
  return readGraph(graph, nodeReadFile, (length) => room.take(length));
}
