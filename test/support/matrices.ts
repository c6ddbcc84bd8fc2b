/** Matrix files as other programs write them, built byte by byte. */
import { writeFile } from 'node:fs/promises';
import type { MatrixFormat } from 'vecsnap/source';
import { joined, seededBytes, u32 } from './files.js';

/** The bytes of a `.fbin`, `.u8bin` or `.i8bin` file. */
export function binBytes(rows: number, dimension: number, numberBytes: number): Uint8Array {
  return joined(u32(rows, dimension), seededBytes(rows * dimension * numberBytes, rows + 1));
}

/** The bytes of a `.fvecs` or `.bvecs` file. */
export function vecsBytes(rows: number, dimension: number, numberBytes: number): Uint8Array {
  const width = dimension * numberBytes;
  const numbers = seededBytes(rows * width, rows + 2);
  const out = new Uint8Array(rows * (4 + width));
  for (let row = 0; row < rows; row++) {
    out.set(u32(dimension), row * (4 + width));
    out.set(numbers.subarray(row * width, (row + 1) * width), row * (4 + width) + 4);
  }
  return out;
}

/** The bytes of a `.npy` file of version 1 with this header text, padded as numpy pads it, and this many bytes of numbers. */
export function npyBytes(header: string, dataBytes: number): Uint8Array {
  return joined(npyHead(header), seededBytes(dataBytes, dataBytes + 3));
}

/** The preamble and the header of a `.npy` file; `version` 2 and 3 have a longer length. */
export function npyHead(header: string, version = 1): Uint8Array {
  const preamble = version === 1 ? 10 : 12;
  const padded = `${header.padEnd(Math.ceil((preamble + header.length + 1) / 64) * 64 - preamble - 1)}\n`;
  const length = version === 1 ? u32(padded.length).subarray(0, 2) : u32(padded.length);
  const magic = Uint8Array.of(0x93, ...Buffer.from('NUMPY'), version, 0);
  return joined(magic, length, Buffer.from(padded, 'latin1'));
}

/** The header text of a matrix. */
export function npyText(descr: string, rows: number, dimension: number): string {
  return `{'descr': '${descr}', 'fortran_order': False, 'shape': (${rows}, ${dimension}), }`;
}

/** Writes a file of `format` with `rows` rows. */
export async function writeMatrix(
  format: MatrixFormat,
  path: string,
  rows: number,
  dimension: number,
): Promise<void> {
  await writeFile(path, matrixBytes(format, rows, dimension));
}

function matrixBytes({ scheme }: MatrixFormat, rows: number, dimension: number): Uint8Array {
  if (scheme === 'npy') return npyBytes(npyText('<f4', rows, dimension), rows * dimension * 4);
  if (scheme === 'fvecs') return vecsBytes(rows, dimension, 4);
  if (scheme === 'bvecs') return vecsBytes(rows, dimension, 1);
  return binBytes(rows, dimension, scheme === 'fbin' ? 4 : 1);
}

/** The bytes of a `.fbin` file of finite numbers; row 0 differs with `seed`. */
export function finiteFbin(rows: number, dimension: number, seed = 0): Uint8Array {
  const numbers = Float32Array.from({ length: rows * dimension }, (_, i) => Math.sin(i * 1.7));
  numbers.fill(seed, 0, dimension);
  return joined(u32(rows, dimension), new Uint8Array(numbers.buffer));
}
