/** The content-addressed store: codecs, packs, the index, and reading and writing chunks through them. */
export { type ChunkGraph, graphInMemory, type ReadFile } from './chunk-graph.js';
export * from './check.js';
export * from './chunk-store.js';
export * from './chunk-writer.js';
export * from './codec.js';
export * from './coder.js';
export { DeltasByPack } from './deltas-by-pack.js';
export * from './expendable-index.js';
export * from './index-port.js';
export * from './known-damage.js';
export { countMasked } from './kernels.js';
export * from './level-index.js';
export * from './memory-index.js';
export * from './mend.js';
export * from './pack.js';
export * from './planes.js';
export { standAlone } from './stand-alone.js';
export * from './wholeness.js';
