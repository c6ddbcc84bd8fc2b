/**
 * Tells from the form in which numbers were just encoded which bytes they cannot have: the head of Huffman codes names all values
 * that come, so that nobody need look at the numbers again.
 */
import { CODECS, type EncodedChunk } from './codec.js';
import { packedLiterals } from './delta.js';
import { hasSymbol } from './huffman.js';
import { planeForm } from './planes.js';

/**
 * Whether one of these values may come among the bytes of a plane: of all numbers of a chunk or, when it is told by others, of those that
 * are not copied from them. False only where the form shows that none does.
 * @param plane its place in the numbers; 0 is that of their lowest bytes.
 * @throws VecsnapError CHUNK_DAMAGED, ENCODING_INVALID for a form that is not one that {@link encodeChunk} gives.
 */
export function mayHold({ codec, bytes }: EncodedChunk, plane: number, values: readonly number[]): boolean {
  if (codec === CODECS.planes) return mayBeInPlane(bytes, plane, values);
  if (codec !== CODECS.delta) return true;
  const literals = packedLiterals(bytes);
  return literals.arePlanes ? mayBeInPlane(literals.bytes, plane, values) : literals.bytes.length > 0;
}

function mayBeInPlane(encoded: Uint8Array, plane: number, values: readonly number[]): boolean {
  const form = planeForm(encoded, plane);
  if (form === undefined) return true;
  return 'constant' in form ? values.includes(form.constant) : hasSymbol(form.codes, values);
}
