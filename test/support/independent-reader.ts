/**
 * Reads a repository by docs/format.md alone: no import from vecsnap, so that the page is known to be complete and true.
 *
 * Besides reading, it works out again where row groups, stream chunks and tree nodes must end and what their addresses must
 * be, and fails where a repository has it otherwise.
 */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { inflateRawSync } from 'node:zlib';

// ── Canonical msgpack ────────────────────────────────────────────────────────────────────────────────────────────────

export type Value =
  null | boolean | number | bigint | string | Buffer | readonly Value[] | { readonly [key: string]: Value };
type Fields = { readonly [key: string]: Value };

function need(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Error(`against docs/format.md: ${message}`);
}

class Cursor {
  at = 0;
  readonly bytes: Buffer;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }

  take(length: number): Buffer {
    need(this.at + length <= this.bytes.length, 'the bytes end too early');
    this.at += length;
    return this.bytes.subarray(this.at - length, this.at);
  }

  byte(): number {
    return this.take(1).readUInt8();
  }

  uint(bytes: number): number {
    return this.take(bytes).readUIntBE(0, bytes);
  }

  varint(): number {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = this.byte();
      value += (byte % 128) * scale;
      if (byte < 128) return value;
    }
  }
}

/** One value that fills all of `bytes`. */
export function decodeMsgpack(bytes: Buffer): Value {
  const cursor = new Cursor(bytes);
  const value = decodeValue(cursor);
  need(cursor.at === bytes.length, 'bytes follow the value');
  return value;
}

function decodeValue(c: Cursor): Value {
  const tag = c.byte();
  if (tag <= 0x7f) return tag;
  if (tag <= 0x8f) return decodeMap(c, tag & 0x0f);
  if (tag <= 0x9f) return decodeArray(c, tag & 0x0f);
  if (tag <= 0xbf) return c.take(tag & 0x1f).toString('utf8');
  if (tag >= 0xe0) return tag - 0x100;
  switch (tag) {
    case 0xc0:
      return null;
    case 0xc2:
      return false;
    case 0xc3:
      return true;
    case 0xc4:
      return c.take(c.uint(1));
    case 0xc5:
      return c.take(c.uint(2));
    case 0xc6:
      return c.take(c.uint(4));
    case 0xcb:
      return c.take(8).readDoubleBE();
    case 0xcc:
      return c.uint(1);
    case 0xcd:
      return c.uint(2);
    case 0xce:
      return c.uint(4);
    case 0xcf:
      return c.take(8).readBigUInt64BE();
    case 0xd0:
      return c.take(1).readInt8();
    case 0xd1:
      return c.take(2).readInt16BE();
    case 0xd2:
      return c.take(4).readInt32BE();
    case 0xd3:
      return c.take(8).readBigInt64BE();
    case 0xd9:
      return c.take(c.uint(1)).toString('utf8');
    case 0xda:
      return c.take(c.uint(2)).toString('utf8');
    case 0xdb:
      return c.take(c.uint(4)).toString('utf8');
    case 0xdc:
      return decodeArray(c, c.uint(2));
    case 0xdd:
      return decodeArray(c, c.uint(4));
    case 0xde:
      return decodeMap(c, c.uint(2));
    case 0xdf:
      return decodeMap(c, c.uint(4));
    default:
      throw new Error(`against docs/format.md: the form ${tag.toString(16)} is never written`);
  }
}

function decodeArray(c: Cursor, length: number): Value[] {
  return Array.from({ length }, () => decodeValue(c));
}

function decodeMap(c: Cursor, size: number): Fields {
  const map = Object.create(null) as Record<string, Value>;
  for (let i = 0; i < size; i++) {
    const key = decodeValue(c);
    need(typeof key === 'string', 'a key is text');
    map[key] = decodeValue(c);
  }
  return map;
}

/** The one encoding of `value`. */
export function encodeMsgpack(value: Value): Buffer {
  if (value === null) return Buffer.of(0xc0);
  if (typeof value === 'boolean') return Buffer.of(value ? 0xc3 : 0xc2);
  if (typeof value === 'number') return encodeNumber(value);
  if (typeof value === 'bigint') return encodeBigint(value);
  if (typeof value === 'string') {
    const text = Buffer.from(value, 'utf8');
    return Buffer.concat([head(text.length, [0xa0, 32], 0xd9, 0xda, 0xdb), text]);
  }
  if (Buffer.isBuffer(value)) {
    return Buffer.concat([head(value.length, undefined, 0xc4, 0xc5, 0xc6), value]);
  }
  if (Array.isArray(value)) {
    const items = value as readonly Value[];
    return Buffer.concat([
      head(items.length, [0x90, 16], undefined, 0xdc, 0xdd),
      ...items.map(encodeMsgpack),
    ]);
  }
  const fields = value as Fields;
  const keys = Object.keys(fields).sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  const pairs = keys.flatMap((key) => [encodeMsgpack(key), encodeMsgpack(fields[key] as Value)]);
  return Buffer.concat([head(keys.length, [0x80, 16], undefined, 0xde, 0xdf), ...pairs]);
}

function head(
  length: number,
  short: [tag: number, below: number] | undefined,
  tag8: number | undefined,
  tag16: number,
  tag32: number,
): Buffer {
  if (short !== undefined && length < short[1]) return Buffer.of(short[0] + length);
  if (tag8 !== undefined && length < 2 ** 8) return Buffer.of(tag8, length);
  return length < 2 ** 16 ? tagged(tag16, 2, length) : tagged(tag32, 4, length);
}

function tagged(tag: number, bytes: number, value: number): Buffer {
  const out = Buffer.alloc(1 + bytes);
  out[0] = tag;
  if (value < 0) out.writeIntBE(value, 1, bytes);
  else out.writeUIntBE(value, 1, bytes);
  return out;
}

function encodeNumber(value: number): Buffer {
  if (!Number.isInteger(value) || value >= 2 ** 32 || value < -(2 ** 31)) {
    const out = Buffer.alloc(9, 0xcb);
    out.writeDoubleBE(value, 1);
    return out;
  }
  if (value >= 0) {
    if (value < 2 ** 7) return Buffer.of(value);
    if (value < 2 ** 8) return tagged(0xcc, 1, value);
    return value < 2 ** 16 ? tagged(0xcd, 2, value) : tagged(0xce, 4, value);
  }
  if (value >= -(2 ** 5)) return Buffer.of(0x100 + value);
  if (value >= -(2 ** 7)) return tagged(0xd0, 1, value);
  return value >= -(2 ** 15) ? tagged(0xd1, 2, value) : tagged(0xd2, 4, value);
}

function encodeBigint(value: bigint): Buffer {
  if (value >= -(2n ** 53n) + 1n && value < 2n ** 53n) return encodeNumber(Number(value));
  const out = Buffer.alloc(9, value < 2n ** 63n ? 0xd3 : 0xcf);
  if (value < 2n ** 63n) out.writeBigInt64BE(value, 1);
  else out.writeBigUInt64BE(value, 1);
  return out;
}

// ── Addresses ────────────────────────────────────────────────────────────────────────────────────────────────────────

export function sha256(bytes: Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest();
}

const BASE32 = 'abcdefghijklmnopqrstuvwxyz234567';

/** The CIDv1 of an address. */
export function formatCid(address: Uint8Array, kind: 'data' | 'node'): string {
  const codec = kind === 'data' ? [0x55] : [0x81, 0x04];
  let text = 'b';
  let bits = 0;
  let held = 0;
  for (const byte of [0x01, ...codec, 0x12, 0x20, ...address]) {
    held = (held << 8) | byte;
    for (bits += 8; bits >= 5; bits -= 5) text += BASE32[(held >> (bits - 5)) & 31];
    held &= 0xff;
  }
  return bits > 0 ? text + BASE32[(held << (5 - bits)) & 31] : text;
}

// ── The rules that decide where things end ───────────────────────────────────────────────────────────────────────────

function rotate(word: number, by: number): number {
  return (word << by) | (word >>> (32 - by));
}

function finalise(hash: number, length: number): number {
  let h = hash ^ length;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

function mixIn(word: number): number {
  return Math.imul(rotate(Math.imul(word, 0xcc9e2d51), 15), 0x1b873593);
}

function murmurWords(words: readonly number[]): number {
  return words.reduce((hash, word) => (Math.imul(rotate(hash ^ mixIn(word), 13), 5) + 0xe6546b64) | 0, 0);
}

/** MurmurHash3 x86_32 with seed 0. */
export function murmur3(bytes: Buffer): number {
  const whole = bytes.length - (bytes.length % 4);
  const words = Array.from({ length: whole / 4 }, (_, i) => bytes.readUInt32LE(i * 4));
  const hash = murmurWords(words);
  if (whole === bytes.length) return finalise(hash, bytes.length);
  return finalise(hash ^ mixIn(bytes.readUIntLE(whole, bytes.length - whole)), bytes.length);
}

/** The hash of a record without an id. */
export function recordHash(vector: Buffer): number {
  if (vector.length <= 64) return murmur3(vector);
  const words = Array.from({ length: 16 }, (_, i) => {
    const at = Math.floor(i * ((vector.length - 4) / 15));
    return vector.readUInt32LE(at - (at % 4));
  });
  return finalise(murmurWords(words), vector.length);
}

/** The sizes of the groups, by the plain definition and not by a queue. */
export function localMinimumSizes(hashes: readonly number[], window: number, max: number): number[] {
  const sizes: number[] = [];
  let start = 0;
  for (let i = 0; i < hashes.length; i++) {
    const size = i + 1 - start;
    const isNaturalEnd = i >= window && isMinimum(hashes, i, window);
    if (!isNaturalEnd && size < max) continue;
    sizes.push(size);
    start = i + 1;
  }
  if (start < hashes.length) sizes.push(hashes.length - start);
  return sizes;
}

function isMinimum(hashes: readonly number[], i: number, window: number): boolean {
  const own = hashes[i] as number;
  for (let j = Math.max(0, i - window); j < i; j++) if ((hashes[j] as number) <= own) return false;
  for (let j = i + 1; j <= i + window && j < hashes.length; j++)
    if ((hashes[j] as number) < own) return false;
  return true;
}

const GEAR = Array.from({ length: 256 }, (_, byte) => finalise(Math.imul(byte + 1, 0x9e3779b9), 0));

interface GearSizes {
  readonly min: number;
  readonly avg: number;
  readonly max: number;
}

/** The sizes of the chunks of a stream cut by gear. */
export function gearSizes(bytes: Buffer, { min, avg, max }: GearSizes): number[] {
  const sizes: number[] = [];
  for (let start = 0; start < bytes.length; start += sizes.at(-1) as number)
    sizes.push(gearSize(bytes.subarray(start), min, avg, max));
  return sizes;
}

function gearSize(bytes: Buffer, min: number, avg: number, max: number): number {
  const bits = Math.log2(avg);
  let hash = 0;
  for (let length = min - 31; length <= Math.min(max, bytes.length); length++) {
    hash = (hash * 2 + (GEAR[bytes[length - 1] as number] as number)) % 2 ** 32;
    if (length <= min) continue; // The 32 bytes before the first place where an end may be.
    const zeros = length <= avg ? bits + 2 : bits - 2;
    if (hash < 2 ** (32 - zeros)) return length;
  }
  return Math.min(max, bytes.length);
}

function fixedSizes(length: number, size: number): number[] {
  return Array.from({ length: Math.ceil(length / size) }, (_, i) => Math.min(size, length - i * size));
}

// ── Packs ────────────────────────────────────────────────────────────────────────────────────────────────────────────

interface StoredChunk {
  readonly pack: string;
  readonly kind: 'data' | 'node';
  readonly codec: number;
  readonly offset: number;
  readonly length: number;
  readonly stored: Buffer;
  /** Addresses of what a delta copies from. */
  readonly bases: readonly string[];
}

function readPack(pack: string, bytes: Buffer): Map<string, StoredChunk> {
  need(bytes.subarray(0, 8).equals(Buffer.from('vsnpack\x01', 'latin1')), 'a pack begins with its header');
  const footer = bytes.subarray(bytes.length - 44);
  need(footer.subarray(40).toString('latin1') === 'vsnd', 'a pack ends with vsnd');
  const end = bytes.length - 44 - footer.readUInt32LE(0);
  const directory = bytes.subarray(end, bytes.length - 44);
  need(sha256(directory).equals(footer.subarray(8, 40)), 'the footer has the SHA-256 of the directory');
  const chunks = new Map<string, StoredChunk>();
  const cursor = new Cursor(directory);
  let entries = 0;
  let offset = 8;
  for (; cursor.at < directory.length; entries++) {
    const tag = cursor.byte();
    const storedLength = cursor.varint();
    const length = cursor.varint();
    const address = cursor.take(32).toString('hex');
    const isDelta = tag % 128 === 3;
    const bases = Array.from({ length: isDelta ? cursor.varint() : 0 }, () =>
      cursor.take(32).toString('hex'),
    );
    const stored = bytes.subarray(offset, offset + storedLength);
    const kind = tag >= 128 ? 'node' : 'data';
    chunks.set(address, { pack, kind, codec: tag % 128, offset, length, stored, bases });
    offset += storedLength;
  }
  need(entries === footer.readUInt32LE(4), 'the footer counts the entries');
  need(offset === end, 'the chunks fill the pack up to the directory');
  return chunks;
}

/** @param codec any but that of deltas. */
function decodeAlone(codec: number, stored: Buffer, length: number, methods: Set<number>): Buffer {
  if (codec === 0) return stored;
  if (codec === 1) return inflateRawSync(stored);
  if (codec === 2) return decodePlanes(stored, length, methods);
  if (codec === 4) {
    const rest = length % (stored[0] as number);
    need(rest > 0, 'what is left over is no whole number');
    const end = stored.length - rest;
    return Buffer.concat([
      decodePlanes(stored.subarray(0, end), length - rest, methods),
      stored.subarray(end),
    ]);
  }
  throw new Error(`against docs/format.md: codec ${codec}`);
}

function decodeDelta({ stored, length }: StoredChunk, bases: Buffer, methods: Set<number>): Buffer {
  const cursor = new Cursor(stored);
  const [unit, width] = [cursor.varint(), cursor.varint()];
  need([0, 1, 2, 4, 8].includes(width) && length % unit === 0, 'a delta has a unit and a width');
  const steps = Array.from({ length: cursor.varint() }, () => [
    cursor.varint(),
    cursor.varint(),
    cursor.varint(),
  ]);
  const copied = steps.reduce((total, step) => total + (step[1] as number), 0) * unit;
  const form = cursor.byte();
  const literals = decodeAlone(form, cursor.take(stored.length - cursor.at), length - copied, methods);
  need(literals.length === length - copied, 'a delta has the literals that it lacks');
  const parts: Buffer[] = [];
  let [literal, end] = [0, 0];
  for (const [l, c, d] of steps as [number, number, number][]) {
    parts.push(literals.subarray(literal, literal + l * unit));
    literal += l * unit;
    const from = end + l + (d % 2 === 0 ? d / 2 : -(d + 1) / 2);
    end = from + c;
    need(c > 0 && from >= 0 && end * unit <= bases.length, 'a delta copies from within its bases');
    parts.push(bases.subarray(from * unit, end * unit));
  }
  return Buffer.concat([...parts, literals.subarray(literal)]);
}

function decodePlanes(stored: Buffer, length: number, methods: Set<number>): Buffer {
  const cursor = new Cursor(stored);
  const width = cursor.byte();
  const planeLength = length / width;
  const readers = Array.from({ length: width }, () => {
    const method = cursor.byte();
    methods.add(method);
    if (method === 0) return () => cursor.take(planeLength);
    if (method === 2) {
      const constant = cursor.byte();
      return () => Buffer.alloc(planeLength, constant);
    }
    need(method === 1 || method === 3, `a plane has method ${method}`);
    const decode = method === 1 ? (packed: Buffer) => inflateRawSync(packed) : decodeHuffman;
    const packedLength = cursor.varint();
    return () => decode(cursor.take(packedLength), planeLength);
  });
  const planes = readers.map((read) => read());
  need(cursor.at === stored.length, 'planes fill the chunk');
  const out = Buffer.alloc(length);
  for (const [p, plane] of planes.entries()) {
    need(plane.length === planeLength, 'planes are equally long');
    for (let i = 0; i < planeLength; i++) out[i * width + p] = plane[i] as number;
  }
  return out;
}

function decodeHuffman(packed: Buffer, length: number): Buffer {
  const cursor = new Cursor(packed);
  const values = Array.from({ length: cursor.byte() + 1 }, () => {
    const first = cursor.byte();
    return Array.from({ length: cursor.byte() + 1 }, (_, i) => first + i);
  }).flat();
  need(
    values.every((value, i) => value < 256 && (i === 0 || value > (values[i - 1] as number))),
    'runs ascend',
  );
  const nibbles = [...cursor.take(Math.ceil(values.length / 2))].flatMap((byte) => [byte & 15, byte >> 4]);
  const codes = canonicalCodes(values, nibbles);
  if (length < 4096) return decodeCodes(cursor.take(packed.length - cursor.at), codes, length);
  const sizes = [cursor.take(4), cursor.take(4), cursor.take(4)].map((size) => size.readUInt32LE());
  const quarter = Math.floor(length / 4);
  const parts = [quarter, quarter, quarter, length - 3 * quarter].map((count, i) => {
    const stream = cursor.take(sizes[i] ?? packed.length - cursor.at);
    return decodeCodes(stream, codes, count);
  });
  return Buffer.concat(parts);
}

/** The value of each code; a code is written as its bits, first to last. */
function canonicalCodes(values: readonly number[], lengths: readonly number[]): Map<string, number> {
  const codes = new Map<string, number>();
  let code = 0;
  for (let bits = 1; bits <= 11; bits++, code *= 2) {
    for (const [i, value] of values.entries())
      if (lengths[i] === bits) codes.set((code++).toString(2).padStart(bits, '0'), value);
  }
  need(code === 2 ** 12, 'a Huffman code is complete');
  return codes;
}

function decodeCodes(stream: Buffer, codes: ReadonlyMap<string, number>, count: number): Buffer {
  const out = Buffer.alloc(count);
  let bit = 0;
  for (let i = 0; i < count; i++) {
    let code = '';
    while (!codes.has(code)) {
      need(bit < stream.length * 8, 'a stream has all of its codes');
      code += ((stream[bit >> 3] as number) >> (bit & 7)) & 1;
      bit++;
    }
    out[i] = codes.get(code) as number;
  }
  need(Math.ceil(bit / 8) === stream.length, 'a stream ends with its codes');
  return out;
}

// ── The repository ───────────────────────────────────────────────────────────────────────────────────────────────────

function unseal(bytes: Buffer, magic: string): Fields {
  const body = bytes.subarray(0, bytes.length - 32);
  need(sha256(body).equals(bytes.subarray(body.length)), 'a sealed blob ends with its SHA-256');
  need(body.subarray(0, 8).toString('latin1') === magic, `it begins with ${magic}`);
  const encoded = body.subarray(8);
  const value = decodeMsgpack(encoded);
  need(encodeMsgpack(value).equals(encoded), 'its msgpack is canonical');
  return value as Fields;
}

/** An entry of a node. */
interface Entry {
  readonly key: Buffer | number | null;
  readonly count: number;
  readonly bytes: number;
  readonly value: Value;
}

export interface IndependentFile {
  readonly path: string;
  readonly type: string;
  readonly mode: number;
  readonly content?: Buffer;
  readonly target?: string;
}

/** Everything that a snapshot holds. */
export interface IndependentContent {
  readonly snapshot: Fields;
  /** The address of the manifest as a CID. */
  readonly checksum: string;
  readonly format: Fields;
  readonly schema: Fields | null;
  readonly ids: readonly (string | bigint)[];
  /** For each vector column its vectors one after the other. */
  readonly vectors: readonly Buffer[];
  readonly payloads: readonly Buffer[];
  readonly files: readonly IndependentFile[];
  /** What the content reaches. */
  readonly groups: number;
  readonly levels: number;
}

export class IndependentRepository {
  readonly config: Fields;
  /** Values of the snapshot blobs by id. */
  readonly snapshots = new Map<string, Fields>();
  readonly chunks = new Map<string, StoredChunk>();
  /** Codecs of the chunks that were read. */
  readonly codecsSeen = new Set<number>();
  /** Methods of the planes that were read. */
  readonly methodsSeen = new Set<number>();

  constructor(directory: string) {
    this.config = unseal(readFileSync(join(directory, 'config')), 'vsnconf ');
    need(this.config['format'] === 1, 'the format is 1');
    for (const id of namesIn(directory, 'snapshots')) {
      const snapshot = unseal(readFileSync(join(directory, 'snapshots', id)), 'vsnsnap ');
      need(
        snapshot['id'] === id && snapshot['version'] === 1,
        'a snapshot blob has its own id and version 1',
      );
      this.snapshots.set(id, snapshot);
    }
    for (const name of namesIn(directory, 'packs')) {
      const pack = readPack(name, readFileSync(join(directory, 'packs', name)));
      for (const [address, chunk] of pack)
        if (chunk.codec !== 3 || !this.chunks.has(address)) this.chunks.set(address, chunk);
    }
  }

  /** Reads a snapshot whole. */
  read(id: string): IndependentContent {
    const snapshot = this.snapshots.get(id);
    need(snapshot !== undefined, `there is a snapshot ${id}`);
    const address = snapshot['manifest'] as Buffer;
    const manifest = this.#node(address) as Fields;
    const version = manifest['version'] as number;
    need(version === 1 || (version === 2 && manifest['files'] !== null), 'the manifest has version 1, or 2');
    const schema = manifest['schema'] as Fields | null;
    const levels = { most: 0 };
    const records = this.#records(schema, manifest['records'] as readonly Value[] | null, levels);
    return {
      snapshot,
      checksum: formatCid(address, 'node'),
      format: manifest['format'] as Fields,
      schema,
      ...records,
      files: this.#files(manifest['files'] as readonly Value[] | null, version, levels),
      levels: levels.most,
    };
  }

  chunk(address: Buffer, kind: 'data' | 'node'): Buffer {
    const chunk = this.chunks.get(address.toString('hex'));
    need(chunk !== undefined, `the chunk ${formatCid(address, kind)} stands in a pack`);
    need(chunk.kind === kind, 'a directory tells nodes from data');
    const plain = this.#decode(chunk, 0);
    need(plain.length === chunk.length, 'a directory has the length of the plaintext');
    need(sha256(plain).equals(address), 'a chunk hashes to its address');
    return plain;
  }

  #decode(chunk: StoredChunk, depth: number): Buffer {
    need(depth <= 48, 'a delta is at most 48 deltas away from a chunk that is none');
    this.codecsSeen.add(chunk.codec);
    if (chunk.codec !== 3) return decodeAlone(chunk.codec, chunk.stored, chunk.length, this.methodsSeen);
    const bases = chunk.bases.map((base) => {
      const found = this.chunks.get(base);
      need(found !== undefined, 'a base stands in a pack');
      return this.#decode(found, depth + 1);
    });
    return decodeDelta(chunk, Buffer.concat(bases), this.methodsSeen);
  }

  #node(address: Buffer): Value {
    const bytes = this.chunk(address, 'node');
    const value = decodeMsgpack(bytes);
    need(encodeMsgpack(value).equals(bytes), 'a node is canonical msgpack');
    return value;
  }

  /** The entries of level 0, after the tree over them was built again and had the same root. */
  #entries([root, count, bytes]: readonly Value[], levels: { most: number }): Entry[] {
    const entries = this.#below(root as Buffer, levels);
    need(sum(entries, 'count') === count && sum(entries, 'bytes') === bytes, 'a root has the totals');
    const { window, max } = this.config['nodes'] as { window: number; max: number };
    need(treeRoot(entries, window, max).equals(root as Buffer), 'the tree follows from its entries');
    return entries;
  }

  #below(address: Buffer, levels: { most: number }): Entry[] {
    const [level, rows] = this.#node(address) as [number, readonly (readonly Value[])[]];
    levels.most = Math.max(levels.most, level);
    const entries = rows.map(([key, count, bytes, value]) => ({ key, count, bytes, value }) as Entry);
    if (level === 0) return entries;
    return entries.flatMap(({ value }) => this.#below(value as Buffer, levels));
  }

  #records(schema: Fields | null, tree: readonly Value[] | null, levels: { most: number }) {
    if (schema === null || tree === null) return { ids: [], vectors: [], payloads: [], groups: 0 };
    const columns = schema['vectors'] as readonly [string, string, number, string | null][];
    const widths = columns.map(([, dtype, dimension]) => vectorWidth(dtype, dimension));
    const entries = this.#entries(tree, levels);
    const ids: (string | bigint)[] = [];
    const vectors: Buffer[][] = columns.map(() => []);
    const payloads: Buffer[] = [];
    for (const { count, bytes, value } of entries) {
      const parts = (value as readonly (readonly Value[])[]).map((refs, i) =>
        this.#column(refs, isNumeric(schema, columns.length, i)),
      );
      need(
        parts.reduce((total, part) => total + part.length, 0) === bytes,
        'an entry has the bytes of its group',
      );
      if (schema['id'] !== 'none') ids.push(...readIds(schema['id'], parts.shift() as Buffer, count));
      for (const [i, width] of widths.entries()) {
        const part = parts.shift() as Buffer;
        need(part.length === count * width, 'vectors are rows of numbers');
        (vectors[i] as Buffer[]).push(part);
      }
      if (schema['payload'] !== 'none') payloads.push(...readValues(parts.shift() as Buffer, count));
      need(parts.length === 0, 'a group has the columns of the schema');
    }
    const joined = vectors.map((parts) => Buffer.concat(parts));
    this.#checkGroups(entries, ids, joined[0], widths);
    return { ids, vectors: joined, payloads, groups: entries.length };
  }

  /** The bytes of a column, after its cuts were found again. */
  #column(references: readonly Value[], numeric: boolean): Buffer {
    const lengths = references.filter((_, i) => i % 2 === 0) as number[];
    const chunks = references.filter((_, i) => i % 2 === 1).map((a) => this.chunk(a as Buffer, 'data'));
    need(same(lengths, chunks.map(length)), 'a column has the lengths of its chunks');
    const bytes = Buffer.concat(chunks);
    const due =
      bytes.length === 0 ? [] : bytes.length <= 2 ** 20 ? [bytes.length] : this.#cut(bytes, numeric);
    need(same(lengths, due), 'a column is cut by the rule');
    return bytes;
  }

  #cut(bytes: Buffer, fixed: boolean): number[] {
    const { size } = this.config['fixed'] as { size: number };
    return fixed
      ? fixedSizes(bytes.length, size)
      : gearSizes(bytes, this.config['gear'] as unknown as GearSizes);
  }

  #checkGroups(
    entries: readonly Entry[],
    ids: readonly (string | bigint)[],
    first: Buffer | undefined,
    widths: readonly number[],
  ): void {
    const { targetBytes, minRecords, maxRecords } = this.config['rowGroups'] as Record<string, number> as {
      targetBytes: number;
      minRecords: number;
      maxRecords: number;
    };
    const width = widths.reduce((total, one) => total + one, 0);
    const fitting = Math.floor(targetBytes / Math.max(1, width) + 0.5);
    const mean = Math.max(minRecords, Math.min(maxRecords, fitting));
    const window = Math.max(1, Math.floor((mean - 1) / 2));
    const keys = ids.map(idKey);
    const hashes =
      keys.length > 0 || first === undefined
        ? keys.map(murmur3)
        : Array.from({ length: first.length / (widths[0] as number) }, (_, i) =>
            recordHash(first.subarray(i * (widths[0] as number), (i + 1) * (widths[0] as number))),
          );
    const sizes = localMinimumSizes(hashes, window, 4 * (2 * window + 1));
    need(same(sizes, entries.map(countOf)), 'row groups end by the rule');
    let last = -1;
    for (const { key, count } of entries) {
      last += count;
      const due = keys.length > 0 ? keys[last] : hashes[last];
      need(Buffer.isBuffer(key) ? key.equals(due as Buffer) : key === due, 'a key is of the last record');
    }
  }

  #files(tree: readonly Value[] | null, version: number, levels: { most: number }): IndependentFile[] {
    if (tree === null) return [];
    return this.#entries(tree, levels).map(({ key, bytes, value }) => {
      const [type, mode, detail] = value as [string, number, Value];
      const path = (key as Buffer).toString('utf8');
      if (type === 'link') return { path, type, mode, target: detail as string };
      if (type === 'directory') return { path, type, mode };
      const content = this.#content(detail, bytes, version, levels);
      need(content.length === bytes, 'a file has its size');
      return { path, type, mode, content };
    });
  }

  #content(detail: Value, size: number, version: number, levels: { most: number }): Buffer {
    if (detail === null) return Buffer.alloc(0);
    if (Buffer.isBuffer(detail)) return this.#stream(detail, size, version, levels);
    const [chunk, ...others] = detail as readonly Buffer[];
    need(
      version > 1 && chunk !== undefined && others.length === 0,
      'a file lists its only chunk, since version 2',
    );
    const bytes = this.chunk(chunk, 'data');
    need(same(this.#cut(bytes, isPaged(bytes)), [size]), 'a file of one chunk is cut by the rule');
    return bytes;
  }

  #stream(root: Buffer, size: number, version: number, levels: { most: number }): Buffer {
    const { window, max } = this.config['nodes'] as { window: number; max: number };
    const entries = this.#below(root, levels);
    need(version === 1 || entries.length > 1, 'since version 2 a tree has more than one chunk');
    need(sum(entries, 'bytes') === size, 'a stream has the bytes of its file');
    need(treeRoot(entries, window, max).equals(root), 'the tree of a stream follows from its entries');
    const bytes = Buffer.concat(entries.map(({ value }) => this.chunk(value as Buffer, 'data')));
    need(same(this.#cut(bytes, isPaged(bytes)), entries.map(bytesOf)), 'a stream is cut by the rule');
    return bytes;
  }
}

function namesIn(directory: string, folder: string): string[] {
  return existsSync(join(directory, folder)) ? readdirSync(join(directory, folder)).sort() : [];
}

function treeRoot(entries: readonly Entry[], window: number, max: number): Buffer {
  let row = entries;
  for (let level = 0; ; level++) {
    const hashes = row.map((entry) => finalise(entryHash(entry) ^ Math.imul(level + 1, 0x9e3779b9), 4));
    const sizes = localMinimumSizes(hashes, window, max);
    if (sizes.length <= 1) return nodeAddress(level, row);
    let start = 0;
    row = sizes.map((size) => {
      const below = row.slice(start, (start += size));
      return {
        key: (below.at(-1) as Entry).key,
        count: sum(below, 'count'),
        bytes: sum(below, 'bytes'),
        value: nodeAddress(level, below),
      };
    });
  }
}

function nodeAddress(level: number, entries: readonly Entry[]): Buffer {
  return sha256(
    encodeMsgpack([level, entries.map(({ key, count, bytes, value }) => [key, count, bytes, value])]),
  );
}

function entryHash({ key, value }: Entry): number {
  if (Buffer.isBuffer(key)) return murmur3(key);
  return key ?? (value as Buffer).readUInt32LE(0);
}

function readIds(kind: Value | undefined, bytes: Buffer, count: number): (string | bigint)[] {
  if (kind === 'string') return readValues(bytes, count).map((value) => value.toString('utf8'));
  need(kind === 'u64' && bytes.length === count * 8, 'numeric ids have eight bytes');
  return Array.from({ length: count }, (_, i) => bytes.readBigUInt64LE(i * 8));
}

function readValues(bytes: Buffer, count: number): Buffer[] {
  let at = count * 4;
  const values = Array.from({ length: count }, (_, i) => {
    at += bytes.readUInt32LE(i * 4);
    return bytes.subarray(at - bytes.readUInt32LE(i * 4), at);
  });
  need(at === bytes.length, 'values fill their column');
  return values;
}

function idKey(id: string | bigint): Buffer {
  if (typeof id === 'string') return Buffer.from(id, 'utf8');
  const key = Buffer.alloc(8);
  key.writeBigUInt64BE(id);
  return key;
}

const NUMBER_BITS: Readonly<Record<string, number>> = {
  f32: 32,
  f64: 64,
  f16: 16,
  bf16: 16,
  i8: 8,
  u8: 8,
  bits: 1,
};

function vectorWidth(dtype: string, dimension: number): number {
  return Math.ceil((dimension * (NUMBER_BITS[dtype] as number)) / 8);
}

/** Whether the i-th column of a group is made of numbers. */
function isNumeric({ id, payload }: Fields, vectors: number, i: number): boolean {
  const first = id === 'none' ? 0 : 1;
  if (i < first) return id === 'u64';
  return payload === 'none' || i < first + vectors;
}

function isPaged(bytes: Buffer): boolean {
  const magics = [Buffer.from('726564621a0aa90d0a', 'hex'), Buffer.from('SQLite format 3\0', 'latin1')];
  return magics.some((magic) => bytes.subarray(0, magic.length).equals(magic));
}

function same(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((value, i) => value === b[i]);
}

function sum(entries: readonly Entry[], field: 'count' | 'bytes'): number {
  return entries.reduce((total, entry) => total + entry[field], 0);
}

function length({ length: bytes }: Buffer): number {
  return bytes;
}

function countOf({ count }: Entry): number {
  return count;
}

function bytesOf({ bytes }: Entry): number {
  return bytes;
}
