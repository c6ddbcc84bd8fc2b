/**
 * Appends to a journal of changes. Calls that come while one is being made durable are written together, with one sync for all
 * (docs/ordering.md, J1).
 */
import { type FileHandle, open } from 'node:fs/promises';
import { concatBytes } from '../core/index.js';
import {
  encodeFrame,
  encodeHeader,
  HEADER_BYTES,
  type Journal,
  journalFailed,
  newJournalId,
  readMarks,
  readOwnJournal,
  writeWhole,
} from './change-journal.js';

/** A journal is cut off at the front when it has this many bytes and no snapshot needs half of them. */
const CUT_BYTES = 1 << 20;
/** A journal that grows beyond this is cut off also where a snapshot would need it, which is then not continued by hints. */
const MOST_BYTES = 256 << 20;

/** One frame that waits to be written. */
interface Waiting {
  readonly kind: 'write' | 'settled';
  readonly ids: readonly string[] | undefined;
  /** For a settled write: its place. */
  readonly settles: number | undefined;
  readonly resolve: (place: number) => void;
  readonly reject: (error: unknown) => void;
}

/** The file that is being written. */
interface OpenJournal {
  readonly handle: FileHandle;
  readonly id: string;
  readonly start: number;
  end: number;
}

/** See the head of this file. One at a time may write a journal. */
export class JournalWriter {
  readonly path: string;
  #file: OpenJournal | undefined;
  #queue: Waiting[] = [];
  #running: Promise<void> | undefined;
  /** The places of writes that are not over, ascending. */
  readonly #open = new Set<number>();
  /** Writes that are not over and whose ids were in a journal that is gone. */
  #lost = new Set<number>();
  #nextCut = CUT_BYTES;

  constructor(path: string) {
    this.path = path;
  }

  /**
   * Makes ids durable.
   * @param ids undefined when it is not known which records are written.
   * @returns the place to be given to {@link settle} when the write is over.
   * @throws VecsnapError JOURNAL_FAILED.
   */
  async add(ids: readonly string[] | undefined): Promise<number> {
    return this.#enqueue('write', ids, undefined);
  }

  /**
   * Says that a write is over, whether or not it succeeded. This need not be durable: a write that is not known to be over is
   * counted as under way, and its ids are told once more.
   */
  async settle(place: number): Promise<void> {
    await this.#enqueue('settled', undefined, place).catch(() => {});
  }

  /** Opens the journal, so that it says that somebody has opened the database. What is wrong with it shows when it is written. */
  prepare(): void {
    this.#running ??= this.#run().finally(() => (this.#running = undefined));
  }

  async close(): Promise<void> {
    await this.#running;
    await this.#file?.handle.close();
    this.#file = undefined;
  }

  #enqueue(kind: Waiting['kind'], ids: Waiting['ids'], settles: number | undefined): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ kind, ids, settles, resolve, reject });
      this.#running ??= this.#run().finally(() => (this.#running = undefined));
    });
  }

  async #run(): Promise<void> {
    await Promise.resolve(); // Calls of the same moment go together.
    if (this.#queue.length === 0) await this.#opened().catch(() => {}); // The first write tells.
    while (this.#queue.length > 0) {
      const batch = this.#queue;
      this.#queue = [];
      try {
        const places = await this.#write(batch);
        for (const [i, { resolve }] of batch.entries()) resolve(places[i] as number);
      } catch (cause) {
        const error = journalFailed(this.path, cause);
        for (const { reject } of batch) reject(error);
      }
    }
  }

  async #write(batch: readonly Waiting[]): Promise<number[]> {
    const file = await this.#opened();
    const places: number[] = [];
    const frames: Uint8Array[] = [];
    let end = file.end;
    for (const { kind, ids, settles } of batch) {
      places.push(end);
      if (settles === undefined) this.#open.add(end);
      else this.#settled(settles);
      const [first] = this.#open;
      const frame = encodeFrame({ kind, ids, open: first });
      frames.push(frame);
      end += frame.length;
    }
    try {
      await this.#append(
        file,
        concatBytes(frames),
        batch.some(({ kind }) => kind === 'write'),
      );
    } catch (error) {
      for (const place of places) this.#open.delete(place);
      throw error;
    }
    file.end = end;
    return places;
  }

  #settled(place: number): void {
    this.#open.delete(place);
    if (this.#lost.delete(place) && this.#lost.size === 0) this.#open.delete(0);
  }

  /** After a failure the file is opened again, which cuts off what is not whole. */
  async #append({ handle, start, end }: OpenJournal, bytes: Uint8Array, isDurable: boolean): Promise<void> {
    try {
      for (let done = 0; done < bytes.length;)
        done += (await handle.write(bytes, done, bytes.length - done)).bytesWritten;
      if (isDurable) await handle.datasync();
      const { size, nlink } = await handle.stat();
      if (nlink === 0) throw new Error('somebody has removed it');
      if (size !== end - start + HEADER_BYTES + bytes.length)
        throw new Error('another program writes to it too');
    } catch (error) {
      this.#file = undefined;
      await handle.close();
      throw error;
    }
  }

  async #opened(): Promise<OpenJournal> {
    this.#file ??= await this.#openFile();
    const { start, end } = this.#file;
    if (end - start >= this.#nextCut) await this.#cut();
    return (this.#file ??= await this.#openFile());
  }

  /** Opens the journal, or begins a new one where there is none that is whole (docs/ordering.md, J5). */
  async #openFile(): Promise<OpenJournal> {
    let journal = await readOwnJournal(this.path);
    if (journal === undefined || journal.isDamaged) journal = await this.#begin();
    const { id, start, end } = journal;
    const handle = await open(this.path, 'a+'); // Two that write at once, which must not be, lose nothing of each other.
    const [first] = this.#open; // When the file is opened again, writes may be under way.
    const frame = encodeFrame({ kind: 'opened', ids: undefined, open: first });
    await handle.truncate(end - start + HEADER_BYTES);
    await this.#append({ handle, id, start, end }, frame, true);
    return { handle, id, start, end: end + frame.length };
  }

  /** Of writes under way whose ids were in a journal that is gone, the new one says that it does not know their ids. */
  async #begin(): Promise<Journal> {
    const id = newJournalId();
    this.#lost = new Set([...this.#lost, ...this.#open]);
    this.#open.clear();
    if (this.#lost.size > 0) this.#open.add(0);
    const frame =
      this.#lost.size > 0 ? encodeFrame({ kind: 'write', ids: undefined, open: 0 }) : new Uint8Array(0);
    await writeWhole(this.path, concatBytes([encodeHeader(id, 0), frame]));
    return { id, start: 0, end: frame.length, frames: [], isDamaged: false };
  }

  /** Cuts off what no snapshot needs (docs/ordering.md, J4). */
  async #cut(): Promise<void> {
    const { id, start, end, handle } = this.#file as OpenJournal;
    const needed = Math.max(start, await this.#needed(id, start, end));
    this.#nextCut = Math.max(CUT_BYTES, 2 * (end - needed));
    if (needed - start < (end - start) / 2) return;
    const rest = new Uint8Array(end - needed);
    await handle.read(rest, 0, rest.length, needed - start + HEADER_BYTES);
    await writeWhole(this.path, concatBytes([encodeHeader(id, needed), rest]));
    this.#file = undefined;
    await handle.close();
  }

  async #needed(id: string, start: number, end: number): Promise<number> {
    const marks = (await readMarks(this.path)).filter(({ journal }) => journal === id);
    const [first = end] = this.#open;
    const oldest = marks.length === 0 ? start : Math.min(first, ...marks.map(({ place }) => place));
    return end - oldest > MOST_BYTES ? first : oldest;
  }
}
