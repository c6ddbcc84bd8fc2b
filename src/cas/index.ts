/** The content-addressed store: codecs, packs, the index, and reading and writing chunks through them. */
export { Catalogue } from './catalogue.js';
export { ChainKernels } from './chain-kernels.js';
export { type ChunkGraph, graphInMemory, type ReadFile, StoredGraph } from './chunk-graph.js';
export { decodeGraph } from './decode-graph.js';
export * from './check.js';
export * from './chunk-store.js';
export * from './chunk-writer.js';
export * from './codec.js';
export * from './coder.js';
export * from './expendable-index.js';
export { copyFingerprints } from './delta.js';
export { encodeFingerprints, FingerprintBlob, type PackFingerprints } from './fingerprint-blob.js';
export {
  FINGERPRINT_BYTES,
  type Fingerprinting,
  fingerprintingOf,
  fingerprintRecords,
  hasFingerprints,
  type StoredFingerprints,
} from './fingerprints.js';
export type * from './index-port.js';
export * from './known-damage.js';
export { countMasked } from './kernels.js';
export { LoadingCache } from './loading-cache.js';
export * from './level-index.js';
export * from './memory-index.js';
export * from './mend.js';
export { NodeReader } from './node-reader.js';
export * from './pack.js';
export type { PatchedChunk, UnitPatch } from './patch.js';
export * from './planes.js';
export { mayHold } from './plane-values.js';
export { standAlone } from './stand-alone.js';
export * from './wholeness.js';
