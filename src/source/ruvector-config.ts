/**
 * The configuration of a ruvector database: as its file keeps it, as the note of a snapshot keeps it, and as the
 * constructor of `@ruvector/core` takes it.
 */
import type { FormatNote } from './port.js';
import { canonicalJson } from './canonical-json.js';

/** The tables of a database file, and the key of the configuration. */
export const VECTORS_TABLE = 'vectors';
export const METADATA_TABLE = 'metadata';
export const CONFIG_TABLE = 'config';
export const CONFIG_KEY = '__ruvector_db_config__';

/** The distances of ruvector, in its own words. */
export const RUVECTOR_METRICS = ['Cosine', 'Euclidean', 'DotProduct', 'Manhattan'] as const;

/** How ruvector measures the distance of two vectors. */
export type RuvectorMetric = (typeof RUVECTOR_METRICS)[number];

/** How the graph of a database is built. What is left out, ruvector fills in. */
export interface RuvectorHnswConfig {
  readonly m?: number | undefined;
  readonly efConstruction?: number | undefined;
  readonly efSearch?: number | undefined;
  readonly maxElements?: number | undefined;
}

/** How vectors are to be shortened, as `@ruvector/core` takes it. Stored vectors are whole in any case. */
export interface RuvectorQuantization {
  readonly type: 'none' | 'scalar' | 'product' | 'binary';
  readonly subspaces?: number | undefined;
  readonly k?: number | undefined;
}

/** What the constructor of `@ruvector/core` takes, without the path. */
export interface RuvectorConfig {
  readonly dimensions: number;
  readonly distanceMetric?: RuvectorMetric | undefined;
  /** Without it there is no graph, and a search looks at every vector. */
  readonly hnswConfig?: RuvectorHnswConfig | undefined;
  readonly quantization?: RuvectorQuantization | undefined;
}

/** The configuration as a database file keeps it. */
export interface StoredConfig {
  readonly dimensions: number;
  readonly distanceMetric: string;
  /** Canonical JSON of all that is stored but the path of the file: the same for the same configuration. */
  readonly text: string;
}

/**
 * Reads the stored configuration.
 * @returns undefined when the text is none.
 */
export function parseStoredConfig(stored: string): StoredConfig | undefined {
  const fields = parseObject(stored);
  if (fields === undefined) return undefined;
  const { dimensions, distance_metric: distanceMetric } = fields;
  if (typeof dimensions !== 'number' || typeof distanceMetric !== 'string') return undefined;
  const { storage_path: _, ...rest } = fields;
  const text = canonicalOrNothing(rest);
  return text === undefined ? undefined : { dimensions, distanceMetric, text };
}

/** Undefined when it is nested deeper than any configuration. */
function canonicalOrNothing(fields: object): string | undefined {
  try {
    return canonicalJson(JSON.stringify(fields));
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof RangeError) return undefined;
    throw error;
  }
}

/** The note that makes the same database again. */
export function ruvectorNote(config: StoredConfig): FormatNote {
  return { name: 'ruvector', config: config.text };
}

/**
 * What the constructor takes to make a database with the stored configuration `text` again.
 * @returns undefined when `text` has something that this version of vecsnap does not know.
 */
export function configFromNote(text: string): RuvectorConfig | undefined {
  const fields = parseObject(text);
  if (fields === undefined || typeof fields['dimensions'] !== 'number') return undefined;
  const distanceMetric = RUVECTOR_METRICS.find((metric) => metric === fields['distance_metric']);
  const hnswConfig = hnswFromStored(fields['hnsw_config']);
  const quantization = quantizationFromStored(fields['quantization']);
  if (distanceMetric === undefined || hnswConfig === 'unknown' || quantization === 'unknown')
    return undefined;
  return { dimensions: fields['dimensions'], distanceMetric, hnswConfig, quantization };
}

function hnswFromStored(stored: unknown): RuvectorHnswConfig | undefined | 'unknown' {
  if (stored === null || stored === undefined) return undefined;
  const { m, ef_construction, ef_search, max_elements } = stored as Record<string, unknown>;
  const numbers = [m, ef_construction, ef_search, max_elements].filter((value) => typeof value === 'number');
  const [first, efConstruction, efSearch, maxElements] = numbers;
  return numbers.length === 4 ? { m: first, efConstruction, efSearch, maxElements } : 'unknown';
}

function quantizationFromStored(stored: unknown): RuvectorQuantization | undefined | 'unknown' {
  if (stored === null || stored === undefined) return undefined;
  if (stored === 'None' || stored === 'Scalar' || stored === 'Binary') {
    return { type: stored.toLowerCase() as Lowercase<typeof stored> };
  }
  const product = typeof stored === 'object' ? (stored as Record<string, unknown>)['Product'] : undefined;
  if (typeof product !== 'object' || product === null) return 'unknown';
  const { subspaces, k } = product as Record<string, unknown>;
  return typeof subspaces === 'number' && typeof k === 'number'
    ? { type: 'product', subspaces, k }
    : 'unknown';
}

/**
 * The distance of ruvector that is meant by another program's word for it.
 * @returns undefined when ruvector has none like it.
 */
export function ruvectorMetric(word: string): RuvectorMetric | undefined {
  const plain = word.toLowerCase().replace(/[^a-z0-9]/g, '');
  return RUVECTOR_METRICS.find((metric) => METRIC_WORDS[metric].includes(plain));
}

const METRIC_WORDS: Readonly<Record<RuvectorMetric, readonly string[]>> = {
  Cosine: ['cosine', 'cos', 'angular'],
  Euclidean: ['euclidean', 'euclid', 'l2'],
  DotProduct: ['dotproduct', 'dot', 'innerproduct', 'ip'],
  Manhattan: ['manhattan', 'l1'],
};

function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined; // The caller says what was to be read, and where.
  }
}
