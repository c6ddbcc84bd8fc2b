/** A worker of the pool: hashes, encodes and decodes what it is sent. */
import { parentPort } from 'node:worker_threads';
import { type ChunkGraph, plainBytes, readGraph } from '../cas/chunk-graph.js';
import { CODECS, damagedAmong, encodeChunk, type StoredChunk } from '../cas/codec.js';
import { withKin } from '../cas/coder.js';
import { decodeGraph } from '../cas/decode-graph.js';
import { nodeReadFile, nodeSha256 } from './node.js';
import { nodeDeflate } from './node-deflate.js';
import type { DecodedReply, EncodedReply, Envelope, Job, Reply } from './pool-protocol.js';
import { ReadRoom } from './read-room.js';
import { ResultBuffer } from './result-buffer.js';

const results = new ResultBuffer();
const room = new ReadRoom();
const reading = { readFile: nodeReadFile, room: (length: number) => room.take(length) };
const primitives = {
  sha256: nodeSha256,
  deflate: nodeDeflate,
  fresh: (length: number) => results.take(length),
  room: new ReadRoom(),
};

parentPort?.on('message', ({ id, content }: Envelope<Job>) => {
  const reply = run(content);
  parentPort?.postMessage({ id, content: reply } satisfies Envelope<Reply>, [
    reply.bytes.buffer as ArrayBuffer,
  ]);
});

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
  room.begin();
  results.begin(plainBytes(graph));
  const replies: DecodedReply[] = [];
  decodeGraph(graph, verify, reading, primitives, (plain, i) => {
    if (plain === undefined) return replies.push('damaged');
    if (plain === graph.memory[graph.roots[i] as number]) return replies.push('stored');
    results.add(plain);
    return replies.push(plain.length);
  });
  return { operation: 'decode', chunks: replies, bytes: results.finish() };
}

/** The chunks of a graph; those that are read from files are there until the next job. */
function read(graph: ChunkGraph): StoredChunk[] {
  room.begin();
  return readGraph(graph, reading.readFile, reading.room);
}
