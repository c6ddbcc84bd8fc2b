/** How far a piece of work has come. */

/** What a piece of work does at the moment. */
export type Phase = 'take' | 'restore' | 'verify' | 'mark' | 'sweep' | 'repair';

/** How far it has come. Totals are undefined where they are not known before. */
export interface Progress {
  readonly phase: Phase;
  readonly records: number;
  readonly bytes: number;
  readonly totalRecords: number | undefined;
  readonly totalBytes: number | undefined;
}

/** Is told about progress, often; it must be quick. */
export type ProgressListener = (progress: Progress) => void;

/** What every long piece of work takes. */
export interface WorkOptions {
  /** Stops the work; it then fails with ABORTED and has changed nothing. */
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ProgressListener | undefined;
}

/** Adds up progress and passes it on. */
export class ProgressCounter {
  readonly #phase: Phase;
  readonly #listener: ProgressListener | undefined;
  readonly #totalRecords: number | undefined;
  readonly #totalBytes: number | undefined;
  #records = 0;
  #bytes = 0;

  constructor(
    phase: Phase,
    listener: ProgressListener | undefined,
    totals: { readonly records?: number | undefined; readonly bytes?: number | undefined } = {},
  ) {
    this.#phase = phase;
    this.#listener = listener;
    this.#totalRecords = totals.records;
    this.#totalBytes = totals.bytes;
  }

  /** Says that all of a part is done whose records and bytes are these, much of it without having been read. */
  finish(records: number, bytes: number): void {
    this.add(Math.max(0, records - this.#records), Math.max(0, bytes - this.#bytes));
  }

  add(records: number, bytes: number): void {
    this.#records += records;
    this.#bytes += bytes;
    this.#listener?.({
      phase: this.#phase,
      records: this.#records,
      bytes: this.#bytes,
      totalRecords: this.#totalRecords,
      totalBytes: this.#totalBytes,
    });
  }
}
