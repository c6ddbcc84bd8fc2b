// What the benchmark knows of a tool: which commands do the same work with each. The report prints the very same commands.

/**
 * Where a tool works during one run.
 * @typedef {object} Place
 * @property {string} repository a folder of its own; everything in it counts as stored
 * @property {string} home for caches and settings that the tool keeps elsewhere; not counted
 * @property {string} data the folder with nothing but what is taken
 * @property {string} output an empty folder that is restored into
 * @property {string} name of what is taken, in `data`, and restored, in `output`
 * @property {boolean} isTree whether that is a directory
 */

/** @typedef {import('../command.mjs').Command} Command */

/**
 * A tool under measurement. Each method gives the commands for one case; several count as one. Snapshots are numbered from 0.
 * @typedef {object} Tool
 * @property {string} name
 * @property {string} settings in words: what it was told about compression and encryption
 * @property {(place: Place) => Command} version prints its version
 * @property {(place: Place) => readonly Command[]} init
 * @property {(place: Place, number: number) => readonly Command[]} create takes what there is
 * @property {(place: Place, number: number) => readonly Command[]} restore writes snapshot `number`
 * @property {((place: Place) => readonly Command[]) | undefined} verify reads every stored byte; undefined when it has no such command
 * @property {(place: Place, last: number) => readonly Command[]} forget keeps only snapshot `last`, gives back the space
 */

/** The name of the file that is taken. */
export const FILE = 'vectors.fbin';
/** The name of the directory that is taken. */
export const TREE = 'collection';
