/**
 * Tells which files of a source are as they were when they were read for a snapshot, so that they need not be read again. In which
 * state a file had which content is noted in the index (docs/ordering.md, R14).
 */
import type { ChunkIndex, FileNote } from '../cas/index.js';
import { equalBytes, type Sha256, utf8 } from '../core/index.js';
import type { FileContent } from '../manifest/entries.js';
import type { RegularFile } from '../source/port.js';

/** Notes that are written together. */
const NOTES_TOGETHER = 1000;
/** What is kept of a SHA-256, so that two files, or two states of one, are told apart. */
const DIGEST_BYTES = 16;

/** A file, and what it had when it was read for the snapshot before. */
export interface KnownFile {
  readonly file: RegularFile;
  readonly content: FileContent;
}

/** See the head of this file. */
export class FileStates {
  readonly #index: ChunkIndex;
  readonly #sha256: Sha256;
  readonly #collection: string;
  readonly #areTrusted: boolean;
  #notes: FileNote[] = [];
  #unread = 0;

  /**
   * @param collection of the snapshot: files of two may have one path.
   * @param areTrusted whether what was noted counts; if not, it is only noted for the next snapshot.
   */
  constructor(index: ChunkIndex, sha256: Sha256, collection: string, areTrusted: boolean) {
    this.#index = index;
    this.#sha256 = sha256;
    this.#collection = collection;
    this.#areTrusted = areTrusted;
  }

  /** Files that did not have to be read. */
  get unread(): number {
    return this.#unread;
  }

  /** Those of the files to which nothing was written since they had this content. */
  async unwritten(files: readonly KnownFile[]): Promise<ReadonlySet<RegularFile>> {
    const told = this.#areTrusted ? files.flatMap(withState) : [];
    if (told.length === 0) return new Set();
    const digests = told.map(({ file }) => this.#digest(this.#collection, file.path));
    const notes = (await this.#index.fileNotes?.(digests)) ?? [];
    const same = told.filter(({ content: { kind, address }, state }, i) => {
      const note = notes[i];
      const hasContent = note !== undefined && equalBytes(note.content, address);
      return hasContent && equalBytes(note.state, this.#digest(kind, state));
    });
    this.#unread += same.length;
    return new Set(same.map(({ file }) => file));
  }

  /** Notes what was read from a file, as far as it tells in which state it was. */
  async note(file: RegularFile, { kind, address }: FileContent): Promise<void> {
    const state = file.state?.();
    if (state === undefined || this.#index.noteFiles === undefined) return;
    this.#notes.push({
      file: this.#digest(this.#collection, file.path),
      state: this.#digest(kind, state),
      content: address,
    });
    if (this.#notes.length >= NOTES_TOGETHER) await this.flush();
  }

  async flush(): Promise<void> {
    const notes = this.#notes;
    this.#notes = [];
    if (notes.length > 0) await this.#index.noteFiles?.(notes);
  }

  /** No collection and no path has a zero in it. */
  #digest(...texts: readonly string[]): Uint8Array {
    return this.#sha256(utf8(texts.join('\0'))).slice(0, DIGEST_BYTES);
  }
}

/** A file with the state that it tells, if it tells one. */
function withState(known: KnownFile): (KnownFile & { readonly state: string })[] {
  const state = known.file.state?.();
  return state === undefined ? [] : [{ ...known, state }];
}
