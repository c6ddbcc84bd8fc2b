/**
 * The target that writes a new database file of `@ruvector/core`.
 *
 * A process of its own (ruvector-writer.ts) writes beside the place and ends; then the file is read back and compared with
 * what was to be written, and only then moved to its place. So the place has the old content or all of the new, nothing
 * keeps a lock, and the database can be opened at once, in this process too.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { readFile, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  fromUtf8,
  quoteId,
  type RecordBatch,
  type RecordId,
  type Schema,
  throwIfAborted,
  utf8,
  VecsnapError,
  viewOf,
} from '../core/index.js';
import { canonicalJson } from './canonical-json.js';
import type { Content, Target, WriteOptions, WriteReport } from './port.js';
import { checkTargetFree, replaceAtomically } from './replace.js';
import { RedbFile } from './redb.js';
import { RuvectorFile } from './ruvector.js';
import {
  configFromNote,
  RUVECTOR_METRICS,
  type RuvectorConfig,
  type RuvectorHnswConfig,
  ruvectorMetric,
  type RuvectorMetric,
  type RuvectorQuantization,
} from './ruvector-config.js';
import type { WriterAnswer, WriterMessage } from './ruvector-writer.js';
import { xxh3 } from './xxh3.js';

/** How {@link ruvectorTarget} makes the database. What is not given comes from the snapshot. */
export interface RuvectorTargetOptions {
  readonly distanceMetric?: RuvectorMetric | undefined;
  /** `false`: no graph. */
  readonly hnswConfig?: RuvectorHnswConfig | false | undefined;
  readonly quantization?: RuvectorQuantization | undefined;
}

/** Bytes of vectors that the writer takes at a time: each time it makes them durable. */
const INSERT_BYTES = 4 << 20;
const INSERT_RECORDS = 4096;

/**
 * A target that writes the ruvector database at `path`. It takes records with ids and one vector column of f32.
 *
 * Without options the database is configured as the one that the snapshot was taken of; records of another origin get
 * the distance that their schema names, else cosine, and no graph. Ids that are numbers are written as decimal text.
 */
export function ruvectorTarget(path: string, options: RuvectorTargetOptions = {}): Target {
  return {
    place: `ruvector:${path}`,
    async prepare(writeOptions) {
      checkPeer();
      await checkTargetFree(path, writeOptions);
    },
    async write(content, writeOptions) {
      const plan = planOf(path, content, options);
      checkPeer();
      if (writeOptions.overwrite) await checkNotOpen(path);
      return replaceAtomically(path, writeOptions, (temporary) =>
        writeDatabase(temporary, plan, content, writeOptions),
      );
    },
  };
}

/** What is to be written, once it is known that it can be. */
interface Plan {
  readonly path: string;
  readonly config: RuvectorConfig;
  readonly schema: Schema;
  /** The configuration that the file must come to have, when the snapshot tells. */
  readonly configText: string | undefined;
}

function planOf(path: string, { schema, format, files }: Content, options: RuvectorTargetOptions): Plan {
  if (schema === undefined || files !== undefined)
    throw unsuitable(path, 'it holds files', 'Restore to dir: or file:.');
  const [column, ...others] = schema.vectors;
  if (schema.id === 'none') throw unsuitable(path, 'its records have no ids', 'Restore to fbin: or npy:.');
  if (column === undefined || others.length > 0 || column.dtype !== 'f32') {
    throw unsuitable(
      path,
      `it has the vector columns ${describeColumns(schema)}`,
      'Restore to jsonl:, which holds any.',
    );
  }
  if (schema.payload === 'bytes')
    throw unsuitable(path, 'its payloads are not JSON', 'Restore to the format it came from.');
  const noted =
    format.name === 'ruvector' && typeof format['config'] === 'string' ? format['config'] : undefined;
  const base = noted === undefined ? undefined : configFromNote(noted);
  if (noted !== undefined && base === undefined) {
    throw unsuitable(
      path,
      `its database was configured with ${noted}`,
      'Restore with a newer version of vecsnap.',
    );
  }
  const { distanceMetric, hnswConfig, quantization } = options;
  const config: RuvectorConfig = {
    dimensions: column.dimension,
    distanceMetric: distanceMetric ?? base?.distanceMetric ?? metricOf(path, column.metric),
    hnswConfig: hnswConfig === false ? undefined : (hnswConfig ?? base?.hnswConfig),
    quantization: quantization ?? base?.quantization,
  };
  const asNoted = distanceMetric === undefined && hnswConfig === undefined && quantization === undefined;
  return { path, config, schema, configText: asNoted ? noted : undefined };
}

function describeColumns({ vectors }: Schema): string {
  return vectors.map(({ name, dtype }) => `${name} (${dtype})`).join(', ') || 'none';
}

function metricOf(path: string, word: string | undefined): RuvectorMetric {
  if (word === undefined) return 'Cosine';
  const metric = ruvectorMetric(word);
  if (metric !== undefined) return metric;
  throw unsuitable(
    path,
    `it measures distance by ${word}`,
    `Say which of ${RUVECTOR_METRICS.join(', ')} to use.`,
  );
}

function unsuitable(path: string, what: string, remedy: string): VecsnapError {
  return new VecsnapError('TARGET_UNSUITABLE', `A ruvector database cannot hold this snapshot: ${what}.`, {
    place: path,
    remedy: `${remedy} ruvector: takes records with ids and one vector column of f32.`,
  });
}

/** @throws VecsnapError PEER_MISSING. */
function checkPeer(): void {
  try {
    import.meta.resolve('@ruvector/core');
  } catch (cause) {
    throw peerMissing('it is not installed', cause);
  }
}

function peerMissing(what: string, cause?: unknown): VecsnapError {
  return new VecsnapError('PEER_MISSING', `The package @ruvector/core is needed: ${what}.`, {
    place: '@ruvector/core',
    remedy: 'npm install @ruvector/core',
    cause,
  });
}

/**
 * A process that has the old file open would go on with it, unseen, after another one took its place.
 * @throws VecsnapError TARGET_FAILED when a process has it open, where the system tells (Linux).
 */
async function checkNotOpen(path: string): Promise<void> {
  const holder = await lockHolder(path);
  if (holder === undefined) return;
  const who = holder === String(process.pid) ? 'this process' : `process ${holder}`;
  throw new VecsnapError('TARGET_FAILED', `The database to be replaced is open in ${who}.`, {
    place: path,
    remedy: 'End that process first (ruvector keeps a database open until then), or restore to another path.',
  });
}

async function lockHolder(path: string): Promise<string | undefined> {
  const locks = await readFile('/proc/locks', 'utf8').catch(() => ''); // Only Linux has it.
  const stats = await stat(path, { bigint: true }).catch(() => undefined); // Nothing there: nobody has it open.
  if (stats === undefined) return undefined;
  const device = [stats.dev >> 8n, stats.dev & 0xffn]
    .map((part) => part.toString(16).padStart(2, '0'))
    .join(':');
  const line = locks
    .split('\n')
    .find((one) => one.includes('FLOCK') && one.includes(` ${device}:${stats.ino} `));
  return line?.trim().split(/\s+/)[4];
}

async function writeDatabase(
  temporary: string,
  plan: Plan,
  content: Content,
  { signal }: WriteOptions,
): Promise<WriteReport> {
  throwIfAborted(signal);
  await stat(dirname(resolve(temporary))); // ruvector would make the directory.
  const written = new RecordSum();
  await Writer.run(plan.path, signal, async (writer) => {
    await writer.ask({ type: 'create', path: resolve(temporary), config: plan.config });
    for await (const batch of regrouped(content, plan)) {
      throwIfAborted(signal);
      written.add(batch);
      await writer.insert(batch);
    }
    throwIfAborted(signal);
  });
  await checkWritten(temporary, plan, content, written);
  return { records: written.records, files: 0, bytes: written.bytes };
}

/** Records on their way to the writer, in memory of their own. */
interface InsertBatch {
  readonly ids: string[];
  readonly vectors: Float32Array;
  readonly payloads: readonly Uint8Array[];
}

/** The records in batches of a size that suits the writer. Every batch is let go as soon as it was copied. */
async function* regrouped(content: Content, plan: Plan): AsyncGenerator<InsertBatch> {
  const width = plan.config.dimensions * 4;
  const limit = Math.max(1, Math.min(INSERT_RECORDS, Math.floor(INSERT_BYTES / width)));
  let gathered = newInsert(limit, width);
  for await (const batch of content.records?.() ?? []) {
    for (let i = 0; i < batch.count; i++) {
      copyRecord(plan, batch, i, gathered, width);
      if (gathered.ids.length < limit) continue;
      yield gathered;
      gathered = newInsert(limit, width);
    }
    batch.release?.();
  }
  const { ids, vectors, payloads } = gathered;
  if (ids.length > 0) yield { ids, vectors: vectors.slice(0, ids.length * plan.config.dimensions), payloads };
}

type GatheredInsert = InsertBatch & { readonly bytes: Uint8Array; readonly payloads: Uint8Array[] };

function newInsert(records: number, width: number): GatheredInsert {
  const bytes = new Uint8Array(records * width);
  return { ids: [], vectors: new Float32Array(bytes.buffer), bytes, payloads: [] };
}

function copyRecord(
  plan: Plan,
  batch: RecordBatch,
  index: number,
  into: GatheredInsert,
  width: number,
): void {
  const id = batch.ids?.[index] as RecordId;
  const vector = (batch.vectors[0] as Uint8Array).subarray(index * width, (index + 1) * width);
  const row = into.ids.length;
  into.bytes.set(vector, row * width);
  checkIndexable(plan, id, into.vectors.subarray((row * width) / 4, ((row + 1) * width) / 4));
  into.ids.push(String(id));
  into.payloads.push(new Uint8Array(batch.payloads?.[index] ?? new Uint8Array()));
}

/** A graph by these distances ends the process that opens it when a number is not finite. */
function checkIndexable({ path, config }: Plan, id: RecordId, vector: Float32Array): void {
  const { hnswConfig, distanceMetric: metric } = config;
  if (hnswConfig === undefined || (metric !== 'Euclidean' && metric !== 'Manhattan')) return;
  if (vector.every(Number.isFinite)) return;
  throw new VecsnapError('TARGET_UNSUITABLE', `The vector of ${quoteId(id)} holds NaN or infinity.`, {
    place: `${path}, id ${quoteId(id)}`,
    remedy: `A ruvector graph by ${metric} distance cannot hold it. Restore without a graph, or to jsonl:.`,
  });
}

/** A sum over records that does not depend on their order, and how much they were. */
class RecordSum {
  records = 0;
  bytes = 0;
  readonly #sum = new Uint32Array(4);

  add({ ids, vectors, payloads }: InsertBatch): void {
    const width = vectors.byteLength / (ids.length || 1);
    const bytes = new Uint8Array(vectors.buffer, vectors.byteOffset, vectors.byteLength);
    for (const [index, id] of ids.entries()) {
      const payload = payloads[index] as Uint8Array;
      const hash = viewOf(hashRecord(id, bytes.subarray(index * width, (index + 1) * width), payload));
      for (let i = 0; i < 4; i++) this.#sum[i] = (this.#sum[i] as number) + hash.getUint32(4 * i, true);
      this.bytes += width + payload.length;
    }
    this.records += ids.length;
  }

  equals(other: RecordSum): boolean {
    return this.records === other.records && this.#sum.every((part, i) => part === other.#sum[i]);
  }
}

function hashRecord(id: string, vector: Uint8Array, payload: Uint8Array): Uint8Array {
  const name = utf8(id);
  const bytes = new Uint8Array(12 + vector.length + name.length + payload.length);
  bytes.set(vector, 12); // First, so that it stays aligned.
  bytes.set(name, 12 + vector.length);
  bytes.set(payload, 12 + vector.length + name.length);
  new DataView(bytes.buffer).setUint32(0, name.length, true);
  return xxh3(bytes);
}

/**
 * Reads the new database and compares it with what was to be written. ruvector leaves out metadata that it cannot parse
 * and rounds numbers that it cannot hold, without a word.
 */
async function checkWritten(
  temporary: string,
  plan: Plan,
  content: Content,
  written: RecordSum,
): Promise<void> {
  const file = await RedbFile.open(temporary);
  try {
    const database = await RuvectorFile.read(file);
    const found = new RecordSum();
    for await (const batch of regrouped({ ...content, records: () => database.records() }, plan))
      found.add(batch);
    if (!found.equals(written)) await expectAllHeld(database, plan, content);
    const { text } = database.config;
    if (plan.configText !== undefined && plan.configText !== text) {
      throw unsuitable(
        plan.path,
        `it was configured with ${plan.configText}, but got ${text}`,
        'Use its version of ruvector.',
      );
    }
  } finally {
    await file.close();
  }
}

/**
 * Compares record by record, with metadata in its canonical form.
 * @throws VecsnapError that names the first record that the database does not hold as it should.
 */
async function expectAllHeld(database: RuvectorFile, plan: Plan, content: Content): Promise<void> {
  const missing = new Map<string, string>();
  for await (const { id, hash } of hashes(content.records?.(), plan)) missing.set(hash, id);
  const expected = missing.size;
  for await (const { hash } of hashes(database.records(), plan)) missing.delete(hash);
  const [id] = missing.values();
  if (id !== undefined) throw notHeld(plan.path, id);
  if (expected === database.vectors.entries) return;
  throw new VecsnapError('TARGET_FAILED', 'The database holds more records than were written.', {
    place: plan.path,
    remedy: 'Restore again; if it happens again, restore to jsonl: and report it.',
  });
}

async function* hashes(
  records: AsyncIterable<RecordBatch> | undefined,
  plan: Plan,
): AsyncGenerator<{ id: string; hash: string }> {
  const width = plan.config.dimensions * 4;
  for await (const { count, ids, vectors, payloads, release } of records ?? []) {
    for (let i = 0; i < count; i++) {
      const id = String(ids?.[i]);
      const vector = (vectors[0] as Uint8Array).subarray(i * width, (i + 1) * width);
      yield { id, hash: hashRecord(id, vector, canonicalPayload(payloads?.[i])).join() };
    }
    release?.();
  }
}

function canonicalPayload(payload: Uint8Array = new Uint8Array()): Uint8Array {
  return payload.length === 0 ? payload : utf8(canonicalJson(fromUtf8(payload)));
}

function notHeld(path: string, id: string): VecsnapError {
  return new VecsnapError('TARGET_UNSUITABLE', `ruvector cannot hold the record ${quoteId(id)} as it is.`, {
    place: `${path}, id ${quoteId(id)}`,
    remedy:
      'Its metadata must be a JSON object, nested less than 128 deep, with integers of 64 bits or numbers that a double ' +
      'holds exactly, and without lone surrogates. Restore to jsonl:, which holds any.',
  });
}

/** The writing process: started, asked one thing at a time, and ended. */
class Writer {
  readonly #path: string;
  readonly #signal: AbortSignal | undefined;
  readonly #child: ChildProcess;
  #errorText = '';

  private constructor(path: string, signal: AbortSignal | undefined) {
    this.#path = path;
    this.#signal = signal;
    const program = fileURLToPath(new URL('./ruvector-writer.js', import.meta.url));
    const stdio = ['ignore', 'ignore', 'pipe', 'ipc'] as const;
    this.#child = fork(program, { serialization: 'advanced', stdio: [...stdio], execArgv: [] });
    this.#child.on('error', (error) => {
      this.#errorText += error.message;
    });
    this.#child.stderr?.on('data', (data: Buffer) => {
      this.#errorText = (this.#errorText + data.toString('utf8')).slice(-2000);
    });
  }

  /** Starts the process, runs `work`, and waits until the process has ended, whatever happened. */
  static async run(
    path: string,
    signal: AbortSignal | undefined,
    work: (writer: Writer) => Promise<void>,
  ): Promise<void> {
    const writer = new Writer(path, signal);
    try {
      await work(writer);
    } finally {
      await writer.#end();
    }
  }

  async insert({ ids, vectors, payloads }: InsertBatch): Promise<void> {
    const metadata = payloads.map((payload) => (payload.length === 0 ? undefined : fromUtf8(payload)));
    await this.ask({ type: 'insert', ids, vectors, metadata });
  }

  /** @throws VecsnapError PEER_MISSING, TARGET_FAILED, ABORTED without waiting for the answer: a graph takes its time. */
  async ask(message: WriterMessage): Promise<void> {
    const answer = await this.#answerTo(message);
    throwIfAborted(this.#signal);
    if (answer.ok) return;
    if (answer.reason === 'unavailable')
      throw peerMissing(firstLine(answer.message), new Error(answer.message));
    throw this.#failed(answer.message);
  }

  #answerTo(message: WriterMessage): Promise<WriterAnswer> {
    return new Promise((resolveAnswer, reject) => {
      const child = this.#child;
      const onAnswer = (answer: unknown) => settle(() => resolveAnswer(answer as WriterAnswer));
      const onError = (error: Error) => settle(() => reject(this.#failed(error.message)));
      const onExit = (code: number | null, by: string | null) =>
        settle(() => reject(this.#failed(`its process ended (${by ?? code})`)));
      const onAbort = () => settle(() => resolveAnswer({ ok: true }));
      const settle = (finish: () => void) => {
        child.off('message', onAnswer).off('error', onError).off('exit', onExit);
        this.#signal?.removeEventListener('abort', onAbort);
        finish();
      };
      this.#signal?.addEventListener('abort', onAbort);
      child.on('message', onAnswer).on('error', onError).on('exit', onExit);
      child.send(message, (error) => {
        if (error !== null) onError(error);
      });
    });
  }

  #failed(what: string): VecsnapError {
    return new VecsnapError('TARGET_FAILED', `ruvector could not write the database: ${firstLine(what)}.`, {
      place: this.#path,
      remedy:
        'Check that there is space and that the directory can be written, or restore to jsonl: instead.',
      cause: new Error(`${what}\n${this.#errorText}`),
    });
  }

  /** Everything that was answered is durable, so there is nothing to wait for but the end. */
  async #end(): Promise<void> {
    const child = this.#child;
    if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
    await new Promise((ended) => {
      child.once('exit', ended);
      child.kill('SIGKILL');
    });
  }
}

function firstLine(text: string): string {
  return (text.split('\n')[0] as string).replace(/\.$/, '');
}
