/** What is loaded by name when it is first asked for, and kept: those used last, up to a number of bytes. */

/** See the head of this file. Who asks while something is being loaded gets the same; what could not be loaded is tried again. */
export class LoadingCache<T> {
  readonly #load: (name: string) => Promise<T>;
  readonly #sizeOf: (loaded: T) => number;
  readonly #mostBytes: number;
  /** Those used last stand last. */
  readonly #loads = new Map<string, Promise<T>>();
  /** Of those that are loaded. */
  readonly #sizes = new Map<string, number>();
  #bytes = 0;

  /** @param sizeOf gives the bytes that something takes. */
  constructor(load: (name: string) => Promise<T>, sizeOf: (loaded: T) => number, mostBytes: number) {
    this.#load = load;
    this.#sizeOf = sizeOf;
    this.#mostBytes = mostBytes;
  }

  /** @throws what loading throws. */
  get(name: string): Promise<T> {
    const load = this.#loads.get(name) ?? this.#begin(name);
    this.#loads.delete(name);
    this.#loads.set(name, load);
    return load;
  }

  #begin(name: string): Promise<T> {
    const load = this.#load(name);
    load.then(
      (loaded) => this.#keep(name, this.#sizeOf(loaded)),
      () => this.#loads.delete(name),
    );
    return load;
  }

  #keep(name: string, size: number): void {
    this.#sizes.set(name, size);
    this.#bytes += size;
    for (const oldest of this.#loads.keys()) {
      if (this.#bytes <= this.#mostBytes || this.#sizes.size <= 1) return;
      const given = this.#sizes.get(oldest);
      if (given === undefined) continue; // It is being loaded.
      this.#bytes -= given;
      this.#sizes.delete(oldest);
      this.#loads.delete(oldest);
    }
  }
}
