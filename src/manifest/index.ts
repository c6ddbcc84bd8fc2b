/** The Merkle trees of a snapshot: what they are made of, how they are built, read and compared. */
export * from './entries.js';
export * from './manifest.js';
export * from './node.js';
export * from './reachable.js';
export * from './tree-builder.js';
export * from './tree-edit.js';
export * from './tree-places.js';
export * from './tree-reader.js';
