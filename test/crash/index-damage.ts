/** Harm to the files of an index, as disks, people and backups that copy half of it do it. */
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import type { Chance } from './chance.js';

/** What was done, in words. */
export type Harm = string;

/** An index, and a place where older copies of it are kept to be put back. */
export class IndexDamage {
  readonly #index: string;
  readonly #copies: string;
  #kept = 0;

  constructor(index: string, copies: string) {
    this.#index = index;
    this.#copies = copies;
    mkdirSync(copies, { recursive: true });
  }

  /** Keeps a copy of the index as it is. */
  keep(): void {
    if (existsSync(this.#index))
      cpSync(this.#index, join(this.#copies, String(this.#kept++)), { recursive: true });
  }

  /** Does harm to an index that is in use: files go, or others come in their place. What is done to a file itself may end a process. */
  replace(chance: Chance): Harm {
    const names = existsSync(this.#index) ? readdirSync(this.#index).filter((name) => name !== 'LOCK') : [];
    if (names.length === 0 || chance.once(3)) return this.#putBack(chance);
    const path = chance.once(2) ? this.#index : join(this.#index, chance.pick(names));
    rmSync(path, { recursive: true });
    return path === this.#index ? 'deleted' : `without ${path.slice(this.#index.length + 1)}`;
  }

  /** Does harm to an index that nobody uses. */
  harm(chance: Chance): Harm {
    const names = existsSync(this.#index) ? readdirSync(this.#index).filter((name) => name !== 'LOCK') : [];
    if (names.length === 0) return this.#putBack(chance);
    const name = chance.pick(names);
    const path = join(this.#index, name);
    const size = statSync(path).size;
    switch (chance.below(9)) {
      case 0:
        rmSync(this.#index, { recursive: true });
        return 'deleted';
      case 1:
        rmSync(path);
        return `without ${name}`;
      case 2: {
        const left = chance.below(size + 1);
        truncateSync(path, left);
        return `${name} cut to ${left} of ${size} bytes`;
      }
      case 3:
        return this.#putBack(chance);
      case 4:
        return this.#putBackOne(chance, name);
      case 5:
        for (const other of names) writeFileSync(join(this.#index, other), chance.bytes(chance.below(100)));
        return 'rubbish in all files';
      default:
        return garble(path, name, chance);
    }
  }

  /** An older index in the place of this one. */
  #putBack(chance: Chance): Harm {
    if (this.#kept === 0) return 'nothing';
    const copy = chance.below(this.#kept);
    rmSync(this.#index, { recursive: true, force: true });
    cpSync(join(this.#copies, String(copy)), this.#index, { recursive: true });
    return `copy ${copy} put back`;
  }

  /** An older file among newer ones. */
  #putBackOne(chance: Chance, name: string): Harm {
    const copies = Array.from({ length: this.#kept }, (_, copy) => join(this.#copies, String(copy), name));
    const those = copies.filter((path) => existsSync(path));
    if (those.length === 0) return this.#putBack(chance);
    cpSync(chance.pick(those), join(this.#index, name));
    return `an older ${name}`;
  }
}

function garble(path: string, name: string, chance: Chance): Harm {
  const bytes = readFileSync(path);
  if (bytes.length === 0) return 'nothing';
  const times = chance.pick([1, 1, 3, 30]);
  const at = chance.below(bytes.length);
  for (let i = 0; i < times; i++) {
    const place = times === 30 ? Math.min(at + i, bytes.length - 1) : chance.below(bytes.length);
    bytes[place] = chance.once(2) ? chance.below(256) : (bytes[place] as number) ^ (1 << chance.below(8));
  }
  writeFileSync(path, bytes);
  return `${times} bytes of ${name} changed`;
}
