/** Makes the checksums of a redb file fit again after its bytes were changed: what a hostile file would have. */
import { xxh3 } from 'vecsnap/source';
import { itemAt } from './item-at.js';

const SLOTS = [64, 192];

/**
 * Writes checksums anew, in place: of the commit slots alone, or of all pages that can be found, from the leaves up.
 * @returns the pages that were found.
 * @param onBranch changes a branch page before its children are sealed.
 */
export function reseal(
  bytes: Uint8Array,
  what: 'slots' | 'tree',
  onBranch: (branch: Uint8Array, children: number) => void = () => undefined,
): SealedPage[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const sealed: SealedPage[] = [];
  for (const slot of SLOTS) {
    if (what === 'tree') sealTree({ bytes, view, onBranch, sealed }, slot + 8, slot + 16, true, 0);
    bytes.set(xxh3(bytes.subarray(slot, slot + 112)), slot + 112);
  }
  return sealed;
}

/** Where the checked part of a page stands in the file. */
export interface SealedPage {
  readonly start: number;
  readonly end: number;
}

interface Sealing {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly onBranch: (branch: Uint8Array, children: number) => void;
  readonly sealed: SealedPage[];
}

/** Seals the page whose number stands at `number`, and writes its checksum to `checksum`. */
function sealTree(
  sealing: Sealing,
  number: number,
  checksum: number,
  holdsTables: boolean,
  depth: number,
): void {
  const { bytes, view, onBranch, sealed } = sealing;
  const start = pageOffset(view, number);
  const length = 4096 * 2 ** (view.getUint8(number + 7) >> 3);
  if (depth > 8 || start + length > bytes.length) return;
  const count = view.getUint16(start + 2, true);
  const isBranch = bytes[start] === 2;
  const lastEnd = isBranch ? 8 + 24 * (count + 1) + 4 * count - 4 : 4 + 8 * count - 4;
  if (count === 0 || lastEnd + 4 > length) return;
  if (isBranch) {
    onBranch(bytes.subarray(start, start + length), count + 1);
    for (let i = 0; i <= count; i++) {
      const child = start + 8 + 16 * (count + 1) + 8 * i;
      sealTree(sealing, child, start + 8 + 16 * i, holdsTables, depth + 1);
    }
  } else if (holdsTables) {
    for (let i = 0; i < count; i++) {
      const at = start + view.getUint32(start + 4 + 4 * (count + i - 1), true);
      if (at + 64 <= bytes.length) sealTree(sealing, at + 10, at + 18, false, depth + 1);
    }
  }
  const end = view.getUint32(start + lastEnd, true);
  if (end < 9 || end > length) return;
  bytes.set(xxh3(bytes.subarray(start, start + end)), checksum);
  sealed.push({ start, end: start + end });
}

function pageOffset(view: DataView, number: number): number {
  const low = view.getUint32(number, true);
  const high = view.getUint32(number + 4, true);
  const order = high >>> 27;
  const region = (low >>> 20) | ((high & 0xff) << 12);
  const [headerPages, dataPages] = [view.getUint32(16, true), view.getUint32(20, true)];
  const pages = 1 + region * (headerPages + dataPages) + headerPages;
  return 4096 * (pages + (low & (0xfffff >>> order)) * 2 ** order);
}

/** Changes the bits of one byte that `mask` has. */
export function flip(bytes: Uint8Array, place: number, mask: number): void {
  bytes[place] = itemAt(bytes, place) ^ mask;
}
