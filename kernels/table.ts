/**
 * The chunks of an index in memory (src/cas/kernel-table.ts): addresses by number, where each chunk stands, and what it copies from. A
 * whole directory of a pack is added by one call.
 *
 * Each table has an instance of the module of its own. Who calls says where its parts stand, and sees to it that there is room.
 */
import { behindNumber, readNumber } from './numbers';

const ADDRESS_BYTES: usize = 32;
/** As src/cas/chunk-table.ts has them. */
const PACK: usize = 0;
const OFFSET: usize = 4;
const STORED_LENGTH: usize = 8;
const LENGTH: usize = 12;
const TAG: usize = 16;
const BASE_COUNT: usize = 20;
const FIRST_BASE: usize = 24;
const ROW_BYTES: usize = 28;
const NONE: u32 = 0xffffffff;

const DELTA: u32 = 3;
const NODE_BIT: u32 = 0x80;
const HEADER_BYTES: u64 = 8;
/** As src/core/limits.ts and src/cas/pack.ts have them. */
const MAX_DATA_BYTES: u32 = 1 << 24;
const MAX_NODE_BYTES: u32 = 1 << 25;
const MAX_BASES: u32 = 64;

/** One more than the number of the address in each slot; linear probing. */
let slots: usize = 0;
let mask: u32 = 0;
let addresses: usize = 0;
let rows: usize = 0;
let bases: usize = 0;
let size: u32 = 0;
let basesUsed: u32 = 0;

/** Where the next number of a directory is read, where it ends, and whether all was as it is written. */
let next: usize = 0;
let end: usize = 0;
let isSound: bool = true;

/** What the entry is that was read last. */
let codec: u32 = 0;
let isNode: bool = false;
let storedLength: u32 = 0;
let length: u32 = 0;
let addressAt: usize = 0;
let baseCount: u32 = 0;
let basesAt: usize = 0;

let directoryEnd: u64 = 0;
let directoryBases: u32 = 0;
let directoryRivals: u32 = 0;

/** Says where the parts of the table stand, to which its addresses, rows and bases were moved. @param slotCount a power of two. */
export function placeTable(
  slotsAt: usize,
  slotCount: u32,
  addressesAt: usize,
  rowsAt: usize,
  basesAt: usize,
): void {
  slots = slotsAt;
  mask = slotCount - 1;
  addresses = addressesAt;
  rows = rowsAt;
  bases = basesAt;
  memory.fill(slots, 0, slotCount << 2);
  for (let number: u32 = 0; number < size; number++)
    store<u32>(probe(addresses + <usize>number * ADDRESS_BYTES), number + 1);
}

/** How many addresses there are. */
export function tableSize(): u32 {
  return size;
}

/** How many bases are told in all. */
export function tableBases(): u32 {
  return basesUsed;
}

/** The number of the address at a place, or -1. */
export function findAddress(at: usize): i32 {
  return <i32>load<u32>(probe(at)) - 1;
}

/** The number of the address at a place, which is added when it is new. */
export function addAddress(at: usize): u32 {
  const slot = probe(at);
  const found = load<u32>(slot);
  if (found != 0) return found - 1;
  memory.copy(addresses + <usize>size * ADDRESS_BYTES, at, ADDRESS_BYTES);
  store<u32>(slot, ++size);
  return size - 1;
}

/** Room for the numbers of so many bases. Gives the first place. */
export function takeBases(count: u32): u32 {
  basesUsed += count;
  return basesUsed - count;
}

/** Goes through a directory without adding it. Gives how many entries it has, or -1 for one that is not as it is written. */
export function inspectDirectory(from: usize, bytes: usize): i32 {
  open(from, bytes);
  directoryEnd = HEADER_BYTES;
  directoryBases = 0;
  directoryRivals = 0;
  let entries = 0;
  for (; next < end; entries++) {
    read();
    if (!isSound) return -1;
    directoryEnd += storedLength;
    directoryBases += baseCount;
    if (codec == DELTA && isDeltaElsewhere()) directoryRivals++;
  }
  return directoryEnd < 1 << 32 ? entries : -1;
}

/** Of the directory that was inspected: where its last chunk ends in the pack. */
export function inspectedEnd(): f64 {
  return <f64>directoryEnd;
}

/** Of the directory that was inspected: the bases of all its deltas. */
export function inspectedBases(): u32 {
  return directoryBases;
}

/** Of the directory that was inspected: its deltas of chunks that the table has as deltas already. */
export function inspectedRivals(): u32 {
  return directoryRivals;
}

/** Adds all entries of a directory that was inspected. A delta never takes the place of a copy that stands alone. */
export function addDirectory(from: usize, bytes: usize, pack: u32): void {
  open(from, bytes);
  let offset = <u32>HEADER_BYTES;
  while (next < end) {
    read();
    addEntry(pack, offset);
    offset += storedLength;
  }
}

function addEntry(pack: u32, offset: u32): void {
  const row = rows + <usize>addAddress(addressAt) * ROW_BYTES;
  const isDelta = codec == DELTA;
  if (isDelta && load<u32>(row, PACK) != NONE && load<u32>(row, BASE_COUNT) == NONE) return;
  store<u32>(row, pack, PACK);
  store<u32>(row, offset, OFFSET);
  store<u32>(row, storedLength, STORED_LENGTH);
  store<u32>(row, length, LENGTH);
  store<u32>(row, codec * 2 + u32(isNode), TAG);
  store<u32>(row, isDelta ? baseCount : NONE, BASE_COUNT);
  store<u32>(row, isDelta ? addBases() : NONE, FIRST_BASE);
}

function addBases(): u32 {
  const first = takeBases(baseCount);
  for (let i: u32 = 0; i < baseCount; i++)
    store<u32>(bases + ((first + i) << 2), addAddress(basesAt + i * ADDRESS_BYTES));
  return first;
}

function isDeltaElsewhere(): bool {
  const number = findAddress(addressAt);
  if (number < 0) return false;
  const row = rows + <usize>number * ROW_BYTES;
  return load<u32>(row, PACK) != NONE && load<u32>(row, BASE_COUNT) != NONE;
}

/** The slot where an address stands, or the empty one where it would. A digest is its own hash. */
function probe(at: usize): usize {
  const low = v128.load(at);
  const high = v128.load(at, 16);
  let slot = load<u32>(at) & mask;
  while (!isPlaceOf(slot, low, high)) slot = (slot + 1) & mask;
  return slots + (slot << 2);
}

/** Whether a slot is empty, or has this address. */
function isPlaceOf(slot: u32, low: v128, high: v128): bool {
  const found = load<u32>(slots + (slot << 2));
  if (found == 0) return true;
  const other = addresses + <usize>(found - 1) * ADDRESS_BYTES;
  const isEqual = v128.and(i8x16.eq(low, v128.load(other)), i8x16.eq(high, v128.load(other, 16)));
  return i8x16.all_true(isEqual);
}

function open(from: usize, bytes: usize): void {
  next = from;
  end = from + bytes;
  isSound = true;
}

/** Reads an entry; src/cas/pack.ts describes the layout. */
function read(): void {
  const tag = <u32>load<u8>(next++);
  codec = tag & ~NODE_BIT;
  isNode = (tag & NODE_BIT) != 0;
  storedLength = nextNumber();
  length = nextNumber();
  const most = isNode ? MAX_NODE_BYTES : MAX_DATA_BYTES;
  if (length > most || storedLength > most) isSound = false;
  addressAt = skip(ADDRESS_BYTES);
  baseCount = codec == DELTA ? nextNumber() : 0;
  if (baseCount > MAX_BASES) isSound = false;
  basesAt = skip(isSound ? baseCount * ADDRESS_BYTES : 0);
}

function nextNumber(): u32 {
  const number = readNumber(next, end);
  if (behindNumber == 0) isSound = false;
  else next = behindNumber;
  return number;
}

function skip(bytes: usize): usize {
  const at = next;
  if (end - next < bytes) isSound = false;
  else next += bytes;
  return at;
}
