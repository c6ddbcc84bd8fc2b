/** The places of chunks that were looked up lately. A look-up in the index takes a while, however few chunks it is for. */
import { type Address, DigestTable } from '../core/index.js';
import type { Location } from './index-port.js';

/** Places in one generation; at most two generations are remembered. */
const GENERATION = 16 * 1024;

interface Generation {
  readonly table: DigestTable;
  readonly locations: Location[];
}

/** Remembers places. It must be told when packs go. */
export class LocationCache {
  #newer = emptyGeneration();
  #older = emptyGeneration();

  get(address: Address): Location | undefined {
    return find(this.#newer, address) ?? find(this.#older, address);
  }

  set(address: Address, location: Location): void {
    if (this.#newer.table.size >= GENERATION) {
      this.#older = this.#newer;
      this.#newer = emptyGeneration();
    }
    this.#newer.locations[this.#newer.table.add(address)] = location;
  }

  clear(): void {
    this.#newer = emptyGeneration();
    this.#older = emptyGeneration();
  }
}

function find({ table, locations }: Generation, address: Address): Location | undefined {
  const number = table.find(address);
  return number < 0 ? undefined : locations[number];
}

function emptyGeneration(): Generation {
  return { table: new DigestTable(), locations: [] };
}
