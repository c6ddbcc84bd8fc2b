/** Does the jobs of a pool of coders, one after the other, in whatever thread it is: hashes, encodes and decodes. */
import { concatBytes } from '../core/bytes.js';
import { type ChunkGraph, plainBytes, readGraph } from '../cas/chunk-graph.js';
import { CODECS, damagedAmong, encodeChunk, type StoredChunk } from '../cas/codec.js';
import { withKin } from '../cas/coder.js';
import { decodeGraph } from '../cas/decode-graph.js';
import { patchChunk, type UnitPatch } from '../cas/patch.js';
import type { StoredFingerprints } from '../cas/fingerprints.js';
import { nodeCompareRanges, nodeReadFile, nodeSha256, nodeSha256OfTwo } from './node.js';
import { nodeDeflate } from './node-deflate.js';
import type {
  DecodedReply,
  EncodedReply,
  Job,
  PatchedReply,
  FingerprintsReply,
  Reply,
} from './pool-protocol.js';
import { ReadRoom } from './read-room.js';
import { ResultBuffer } from './result-buffer.js';

/** See the head of this file. Results stand in memory of their own, which goes back by {@link Job.spare} once nobody reads it. */
export class JobRunner {
  readonly #results = new ResultBuffer();
  readonly #room = new ReadRoom();
  /** Those of a job. */
  readonly #fingerprints: Uint8Array[] = [];
  readonly #reading = { readFile: nodeReadFile, room: (length: number) => this.#room.take(length) };
  readonly #primitives = {
    sha256: nodeSha256,
    sha256OfTwo: nodeSha256OfTwo,
    deflate: nodeDeflate,
    compareRanges: nodeCompareRanges,
    fresh: (length: number) => this.#results.take(length),
    scratch: this.#reading.room,
  };

  run(job: Job): Reply {
    if (job.spare !== undefined) this.#results.reuse(job.spare);
    this.#fingerprints.length = 0;
    if (job.operation === 'address') return this.#addressAll(job);
    if (job.operation === 'check') return this.#checkAll(job);
    if (job.operation === 'patch') return this.#patchAll(job);
    return job.operation === 'encode' ? this.#encodeAll(job) : this.#decodeAll(job);
  }

  #addressAll({ chunks }: Job & { operation: 'address' }): Reply {
    this.#results.begin(0);
    for (const bytes of chunks) this.#results.add(nodeSha256(bytes));
    return { operation: 'address', bytes: this.#results.finish() };
  }

  #checkAll({ graph }: Job & { operation: 'check' }): Reply {
    const chunks = this.#read(graph);
    this.#results.begin(Math.max(0, ...chunks.map(({ length }) => length)));
    const damaged = damagedAmong(chunks, this.#primitives);
    for (const address of damaged) this.#results.add(address);
    return { operation: 'check', bytes: this.#results.finish() };
  }

  #encodeAll({ chunks, kin, options, addressed }: Job & { operation: 'encode' }): Reply {
    this.#results.begin(chunks.reduce((sum, { bytes }) => sum + bytes.length, 0));
    if (addressed) for (const { bytes } of chunks) this.#results.add(nodeSha256(bytes));
    const known = kin === undefined ? [] : this.#read(kin);
    const replies = chunks.map((chunk): EncodedReply => {
      const form = encodeChunk(withKin(chunk, known), options, this.#primitives);
      const { codec, bytes, bases, hasFalseFingerprints } = form;
      if (codec !== CODECS.raw) this.#results.add(bytes);
      const fingerprints = this.#addFingerprints(form.fingerprints);
      return {
        codec,
        length: codec === CODECS.raw ? 'plain' : bytes.length,
        bases,
        fingerprints,
        hasFalseFingerprints,
      };
    });
    return {
      operation: 'encode',
      chunks: replies,
      bytes: this.#results.finish(),
      fingerprints: this.#joinFingerprints(),
    };
  }

  #patchAll({ graph, patches, options }: Job & { operation: 'patch' }): Reply {
    const chunks = this.#read(graph);
    this.#results.begin(chunks.reduce((sum, { length }) => sum + length, 0));
    const primitives = { ...this.#primitives, fresh: this.#primitives.scratch }; // Results begin with the address, which comes last.
    const replies = chunks.map((chunk, i): PatchedReply => {
      const patched = patchChunk(chunk, patches[i] as UnitPatch, options, primitives);
      if (typeof patched === 'string') return patched;
      const { address, replaced, codec, bytes } = patched;
      for (const part of [address, replaced, bytes]) this.#results.add(part);
      return { codec, length: bytes.length, fingerprints: this.#addFingerprints(patched.fingerprints) };
    });
    return {
      operation: 'patch',
      chunks: replies,
      bytes: this.#results.finish(),
      fingerprints: this.#joinFingerprints(),
    };
  }

  #addFingerprints(fingerprints: StoredFingerprints | undefined): FingerprintsReply | undefined {
    if (fingerprints === undefined) return undefined;
    this.#fingerprints.push(fingerprints.bytes);
    return { isDelta: fingerprints.isDelta, length: fingerprints.bytes.length };
  }

  #joinFingerprints(): Uint8Array {
    return concatBytes(this.#fingerprints);
  }

  #decodeAll({ graph, verify }: Job & { operation: 'decode' }): Reply {
    this.#room.begin();
    this.#results.begin(plainBytes(graph));
    const replies: DecodedReply[] = [];
    decodeGraph(graph, verify, this.#reading, this.#primitives, (plain, i) => {
      if (plain === undefined) return replies.push('damaged');
      if (plain === graph.memory[graph.roots[i] as number]) return replies.push('stored');
      this.#results.add(plain);
      return replies.push(plain.length);
    });
    return { operation: 'decode', chunks: replies, bytes: this.#results.finish() };
  }

  /** The chunks of a graph; those that are read from files are there until the next job. */
  #read(graph: ChunkGraph): StoredChunk[] {
    this.#room.begin();
    return readGraph(graph, this.#reading.readFile, this.#reading.room);
  }
}
