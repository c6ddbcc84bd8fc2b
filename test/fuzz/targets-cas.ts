/** Decoders of packs, chunks and indexes. */
import { MemoryLevel } from 'memory-level';
import { levelBlobStore, memoryBlobStore } from 'vecsnap/blob';
import {
  CODECS,
  copyFingerprints,
  decodeChunk,
  decodePlanes,
  encodeChunk,
  encodeFingerprints,
  encodePlanes,
  FINGERPRINT_BYTES,
  FingerprintBlob,
  type IndexDatabase,
  levelIndex,
  type PlaneWidth,
  readPackDirectory,
  type StoredChunk,
} from 'vecsnap/cas';
import { type Address, concatBytes, toAddress, viewOf } from 'vecsnap/core';
import { nodeDeflate, nodeSha256, portableDeflate } from 'vecsnap/platform';
import { bytesOfLength, joinParts, splitParts } from './parts.js';
import { packOf } from '../support/packs.js';
import { expectSame, type FuzzTarget, Wrong } from './target.js';

const NO_ADDRESS = toAddress(new Uint8Array(32));
const PRIMITIVES = { sha256: nodeSha256, deflate: nodeDeflate };
const PORTABLE = { sha256: nodeSha256, deflate: portableDeflate };

const FLOATS = new Uint8Array(
  Float32Array.from({ length: 300 }, (_, i) => Math.sin(i * 12.9) / 20).buffer.slice(0),
);
/** Enough for four streams of Huffman codes in one plane. */
const MANY_FLOATS = new Uint8Array(
  Float32Array.from({ length: 4500 }, (_, i) => Math.sin(i * 1.7) / 9).buffer,
);
const TEXT = new Uint8Array(Buffer.from('a record, and another one; '.repeat(20)));

/** The length of the plaintext, as u32, and then what is encoded. */
function announced(length: number, encoded: Uint8Array): Uint8Array {
  const head = new Uint8Array(4);
  viewOf(head).setUint32(0, length, true);
  return concatBytes([head, encoded]);
}

/** What was announced, taken to be at most 2^20, so that a target may have a budget. */
function opened(input: Uint8Array): { length: number; bytes: Uint8Array } {
  const head = new Uint8Array(4);
  head.set(input.subarray(0, 4));
  return { length: viewOf(head).getUint32(0, true) % (2 ** 20 + 1), bytes: input.slice(4) };
}

function chunkOf(codec: number, input: Uint8Array): StoredChunk {
  const { length, bytes } = opened(input);
  return { address: NO_ADDRESS, codec, bytes, length };
}

function decodeChecked(chunk: StoredChunk, primitives = PRIMITIVES): Uint8Array {
  const plain = decodeChunk(chunk, false, primitives);
  if (plain.length !== chunk.length) throw new Wrong(`${plain.length} bytes in place of ${chunk.length}`);
  return plain;
}

function attempt(decode: () => Uint8Array): Uint8Array | undefined {
  try {
    return decode();
  } catch {
    return undefined; // Whether both fail is what is asked here; what with, the target of the codec itself.
  }
}

/** Chunks that begin and end within a number. */
const RAGGED: readonly Uint8Array[] = [1, 2, 3].map((from) => {
  const plain = MANY_FLOATS.subarray(from);
  const { codec, bytes } = encodeChunk(
    { bytes: plain, width: 0 },
    { compression: 'auto', compressionLevel: 6 },
    PRIMITIVES,
  );
  if (codec !== CODECS.planesAndRest) throw new Error('the seed has no rest');
  return announced(plain.length, bytes);
});

/** The loops in TypeScript and in WebAssembly accept the same and give the same. */
function decodeOnBoth(input: Uint8Array): void {
  const { length, bytes } = opened(input);
  const [reference, kernels] = [false, true].map((on) =>
    attempt(() => decodePlanes(bytes, length, nodeDeflate, { kernels: on }).slice()),
  );
  if ((reference === undefined) !== (kernels === undefined))
    throw new Wrong('one engine accepts, the other does not');
  if (reference !== undefined && kernels !== undefined) expectSame('planes', reference, kernels);
  decodeChecked(chunkOf(CODECS.planes, input));
}

const PLANES: readonly Uint8Array[] = [
  ...([1, 2, 4, 8] as PlaneWidth[]).map((width) =>
    announced(FLOATS.length, encodePlanes(FLOATS, width, 6, nodeDeflate)),
  ),
  announced(MANY_FLOATS.length, encodePlanes(MANY_FLOATS, 4, 6, nodeDeflate)),
  announced(800, encodePlanes(new Uint8Array(800), 4, 6, nodeDeflate)),
  announced(
    4096,
    encodePlanes(
      new Uint8Array(4096).map((_, i) => (i % 7 ? 0 : i)),
      1,
      6,
      nodeDeflate,
    ),
  ),
];

const BASES: readonly StoredChunk[] = [FLOATS, TEXT].map((bytes, i) => {
  const { codec, bytes: encoded } = encodeChunk(
    { bytes, width: i === 0 ? 4 : 0 },
    { compression: 'auto', compressionLevel: 6 },
    PRIMITIVES,
  );
  return { address: nodeSha256(bytes), codec, bytes: encoded, length: bytes.length };
});

/** An encoded delta of something that has much in common with the bases. */
function deltaOf(base: number, unit: number, width: 0 | 4): Uint8Array {
  const plain = base === 0 ? FLOATS.slice() : TEXT.slice();
  plain.fill(7, 40, 72);
  const chunk = { bytes: plain, width, kin: { unit, chunks: BASES } } as const;
  const { codec, bytes } = encodeChunk(chunk, { compression: 'auto', compressionLevel: 6 }, PRIMITIVES);
  if (codec !== CODECS.delta) throw new Error('the seed is no delta');
  return announced(plain.length, bytes);
}

const DELTAS = [deltaOf(0, 4, 4), deltaOf(1, 1, 0)];

async function makePack(): Promise<Uint8Array> {
  const address = (seed: number): Address => toAddress(bytesOfLength(32, seed));
  const delta = { kind: 'data', codec: 3, bases: [address(1), address(2)] } as const;
  return packOf([
    { bytes: bytesOfLength(60, 1), address: address(1), kind: 'data', codec: 0, length: 60 },
    { bytes: bytesOfLength(30, 2), address: address(2), kind: 'node', codec: 1, length: 300 },
    { ...delta, bytes: bytesOfLength(9, 3), address: address(3), length: 90 },
  ]).bytes;
}

/** The directory's checksum fits whatever was changed. */
function resealPack(bytes: Uint8Array): Uint8Array {
  if (bytes.length < 52) return bytes;
  const out = bytes.slice();
  const footer = out.length - 44;
  const length = viewOf(out).getUint32(footer, true);
  if (length > footer) return out;
  out.set(nodeSha256(out.subarray(footer - length, footer)), footer + 8);
  return out;
}

async function readPack(bytes: Uint8Array): Promise<void> {
  const blobs = memoryBlobStore();
  const name = `packs/${'0'.repeat(32)}`;
  await blobs.put(name, bytes);
  const entries = await readPackDirectory(blobs, { name, size: bytes.length }, nodeSha256);
  const chunks = entries.map((entry) => {
    const { offset, storedLength } = entry;
    if (offset + storedLength > bytes.length) throw new Wrong('a chunk lies outside of its pack');
    return { ...entry, bytes: bytes.subarray(offset, offset + storedLength) };
  });
  const written = packOf(chunks).bytes;
  expectSame('a pack', bytes.subarray(8), written.subarray(8)); // The header is looked at by verify.
}

const SEED = 'a repository';
const FINGERPRINTED = `packs/${'ab'.repeat(16)}`;

function fingerprintsOfPack(): Uint8Array {
  const records = [bytesOfLength(24, 1), bytesOfLength(5, 2), bytesOfLength(0, 3)];
  const fingerprints = records.map((bytes, i) => ({
    address: toAddress(bytesOfLength(32, i)),
    stored: { isDelta: i === 1, bytes },
  }));
  return encodeFingerprints([{ pack: FINGERPRINTED, fingerprints }], SEED, nodeSha256);
}

function resealFingerprints(bytes: Uint8Array): Uint8Array {
  if (bytes.length < 32) return bytes;
  const out = bytes.slice();
  out.set(nodeSha256(out.subarray(0, -32)), out.length - 32);
  return out;
}

function readFingerprints(input: Uint8Array): void {
  const blob = new FingerprintBlob(input, SEED, nodeSha256);
  for (let i = 0; i < 3; i++) {
    const record = blob.at(FINGERPRINTED, { address: toAddress(bytesOfLength(32, i)) });
    if (record !== undefined && record.bytes.length > input.length) throw new Wrong('more than there is');
  }
}

/** Of twenty records, told by those of thirty. */
function readFingerprintSteps(input: Uint8Array): void {
  const length = 20 * FINGERPRINT_BYTES;
  const { length: found } = copyFingerprints(input, bytesOfLength(30 * FINGERPRINT_BYTES, 1), length);
  if (found !== length) throw new Wrong(`${found} bytes in place of ${length}`);
}

function levelDatabase(): MemoryLevel<Uint8Array, Uint8Array> {
  return new MemoryLevel({ keyEncoding: 'view', valueEncoding: 'view', storeEncoding: 'view' });
}

const KEYS = ['c', 'p', 'v'].map((letter, i) =>
  concatBytes([
    Buffer.from(letter),
    i === 0 ? NO_ADDRESS : i === 1 ? Buffer.from('packs/ab') : new Uint8Array(0),
  ]),
);

async function readIndex(input: Uint8Array): Promise<void> {
  const db = levelDatabase();
  const values = [...splitParts(input), new Uint8Array(0), new Uint8Array(0)].slice(0, 2);
  for (const [i, key] of KEYS.entries()) await db.put(key, values[i] ?? Uint8Array.of(2)); // The version comes last.
  const index = await levelIndex(db as unknown as IndexDatabase);
  try {
    await index.find([NO_ADDRESS]);
    for await (const some of index.entries()) void some;
    await index.removePacks(new Set(index.packs().keys()));
  } finally {
    await index.close();
  }
}

const PIECES = ['h/packs/ab', 'p/packs/ab!00000000', 'p/packs/ab!00000001'];

async function readLevelBlob(input: Uint8Array): Promise<void> {
  const db = levelDatabase();
  const values = splitParts(input);
  for (const [i, key] of PIECES.entries()) await db.put(Buffer.from(key), values[i] ?? new Uint8Array(0));
  const store = levelBlobStore(db);
  const stat = await store.stat('packs/ab');
  for await (const blob of store.list('packs/')) void blob;
  await store.read('packs/ab', 0, new Uint8Array(10));
  const blob = await store.get('packs/ab');
  if (blob.length !== stat?.size) throw new Wrong('a blob has another size than its head says');
}

const EXACT = { multiple: 64, constant: 6 << 20 };

/** Makes the targets; a pack takes a moment. */
export async function casTargets(): Promise<FuzzTarget[]> {
  return [
    {
      name: 'pack',
      seeds: [await makePack()],
      reseal: resealPack,
      decode: readPack,
      budget: { multiple: 64, constant: 1 << 20 },
    },
    {
      name: 'deflate',
      seeds: [TEXT, FLOATS].map((bytes) => announced(bytes.length, nodeDeflate.deflate(bytes, 6))),
      decode: (input) => decodeChecked(chunkOf(CODECS.deflate, input)),
      budget: EXACT,
    },
    {
      name: 'deflate-portable',
      seeds: [TEXT, FLOATS].map((bytes) => announced(bytes.length, nodeDeflate.deflate(bytes, 6))),
      decode: (input) => decodeChecked(chunkOf(CODECS.deflate, input), PORTABLE),
      budget: EXACT,
    },
    { name: 'planes', seeds: PLANES, decode: decodeOnBoth, budget: { multiple: 64, constant: 24 << 20 } },
    {
      name: 'planes-and-rest',
      seeds: RAGGED,
      decode: (input) => decodeChecked(chunkOf(CODECS.planesAndRest, input)),
      budget: { multiple: 64, constant: 24 << 20 },
    },
    {
      name: 'delta',
      seeds: DELTAS,
      decode: (input) => decodeChecked({ ...chunkOf(CODECS.delta, input), bases: BASES }),
      budget: { multiple: 256, constant: 24 << 20 },
    },
    {
      name: 'fingerprints',
      seeds: [fingerprintsOfPack()],
      reseal: resealFingerprints,
      decode: readFingerprints,
      budget: { multiple: 256, constant: 1 << 20 },
    },
    {
      name: 'fingerprint-steps',
      seeds: [
        concatBytes([Uint8Array.of(2, 1, 9, 2, 0, 8, 3), bytesOfLength(3 * FINGERPRINT_BYTES, 1)]),
        Uint8Array.of(1, 0, 20, 6),
      ],
      decode: readFingerprintSteps,
      budget: { multiple: 256, constant: 1 << 20 },
    },
    {
      name: 'level-index',
      seeds: [joinParts([Uint8Array.of(1, 8, 60, 0xac, 2, 7, 2), Uint8Array.of(1, 0x80, 2)])],
      decode: readIndex,
      budget: { multiple: 5000, constant: 1 << 22 },
    },
    {
      name: 'level-blob',
      seeds: [joinParts([Uint8Array.of(0x92, 30, 20), bytesOfLength(20, 1), bytesOfLength(10, 2)])],
      decode: readLevelBlob,
      budget: { multiple: 5000, constant: 1 << 22 },
    },
  ];
}
