/** What the module gives to src/cas/kernels.ts, which knows how memory is divided. No function checks what it is told. */
export {
  countBytes,
  countCollisions,
  countMasked16,
  countMasked32,
  countMasked64,
  isConstant,
} from './count';
export { build, resolve } from './chains';
export { decode, encode } from './huffman';
export { unpack } from './planes';
export { fingerprint } from './fingerprints';
export { countRepeats, sumPlaces, weightsAt } from './look';
export { matchAnywhere, matchInPlace } from './match';
export { join, split } from './split';
export {
  addAddress,
  addDirectory,
  findAddress,
  inspectDirectory,
  inspectedBases,
  inspectedEnd,
  inspectedRivals,
  placeTable,
  tableBases,
  tableSize,
  takeBases,
} from './table';

/** Where memory is free, to its end. */
export function heapStart(): usize {
  return __heap_base;
}
