/**
 * The schema of a collection: what its records are made of.
 *
 * A record has an id (unless the collection is a plain matrix), one vector for each vector column, and a
 * payload. Vectors are bare little-endian numbers; `bits` are packed eight to a byte.
 */
import { valueText } from './canonical.js';
import { VecsnapError } from './errors.js';

/** How the numbers of a vector are kept. */
export type Dtype = 'f32' | 'f64' | 'f16' | 'bf16' | 'i8' | 'u8' | 'bits';

/** How records are identified. `none`: by their position alone, as the rows of a matrix. */
export type IdKind = 'none' | 'string' | 'u64';

/** What travels with a vector: nothing, one JSON value, or bytes that vecsnap does not look into. */
export type PayloadKind = 'none' | 'json' | 'bytes';

/** One vector column of a collection. */
export interface VectorColumn {
  readonly name: string;
  readonly dtype: Dtype;
  /** Numbers in a vector. */
  readonly dimension: number;
  /** The distance that the database searches by, in its own word, for example `cosine`. */
  readonly metric?: string;
}

/** What the records of one collection are made of. */
export interface Schema {
  readonly id: IdKind;
  readonly vectors: readonly VectorColumn[];
  readonly payload: PayloadKind;
  /** Which model made the embeddings, for example `{ name: 'all-MiniLM-L6-v2' }`. */
  readonly model?: Readonly<Record<string, string>>;
}

/** Bytes of one number for each dtype; `bits` take an eighth. */
export const DTYPE_BYTES: Readonly<Record<Dtype, number>> = {
  f32: 4,
  f64: 8,
  f16: 2,
  bf16: 2,
  i8: 1,
  u8: 1,
  bits: 1 / 8,
};

/** Bytes of one vector of `column`. */
export function vectorBytes(column: Pick<VectorColumn, 'dtype' | 'dimension'>): number {
  return Math.ceil(column.dimension * DTYPE_BYTES[column.dtype]);
}

/** Bytes of the vectors of one record. */
export function recordVectorBytes(schema: Pick<Schema, 'vectors'>): number {
  return schema.vectors.reduce((sum, column) => sum + vectorBytes(column), 0);
}

const ID_KINDS: readonly string[] = ['none', 'string', 'u64'] satisfies IdKind[];
const PAYLOAD_KINDS: readonly string[] = ['none', 'json', 'bytes'] satisfies PayloadKind[];

/**
 * Checks that `schema` is complete and consistent.
 * @throws VecsnapError SOURCE_INVALID that names the field.
 */
export function checkSchema(schema: Schema): void {
  if (!ID_KINDS.includes(schema.id)) throw invalidSchema('id', schema.id);
  if (!PAYLOAD_KINDS.includes(schema.payload)) throw invalidSchema('payload', schema.payload);
  const names = new Set<string>();
  if (!Array.isArray(schema.vectors)) throw invalidSchema('vectors', schema.vectors);
  for (const { name, dtype, dimension, metric } of schema.vectors as readonly VectorColumn[]) {
    if (typeof name !== 'string' || !name.isWellFormed()) throw invalidSchema('name of a column', name);
    if (names.has(name)) throw invalidSchema('vectors', `two columns named ${name}`);
    names.add(name);
    if (typeof dtype !== 'string' || !Object.hasOwn(DTYPE_BYTES, dtype))
      throw invalidSchema(`dtype of ${name}`, dtype);
    if (metric !== undefined && typeof metric !== 'string') throw invalidSchema(`metric of ${name}`, metric);
    if (!Number.isSafeInteger(dimension) || dimension < 1 || dimension > 2 ** 20) {
      throw invalidSchema(`dimension of ${name}`, dimension);
    }
  }
  if (schema.id === 'none' && schema.vectors.length === 0) {
    throw invalidSchema('vectors', 'a collection without ids needs a vector column');
  }
  checkModel(schema.model);
}

function checkModel(model: unknown): void {
  if (model === undefined) return;
  const isMap = typeof model === 'object' && model !== null && !Array.isArray(model);
  if (!isMap || !Object.values(model).every((detail) => typeof detail === 'string'))
    throw invalidSchema('model', model);
}

function invalidSchema(field: string, value: unknown): VecsnapError {
  return new VecsnapError('SOURCE_INVALID', `The schema is wrong: ${field}: ${valueText(value)}.`, {
    place: `schema, ${field}`,
    remedy: 'Use one of the documented values (docs/format.md, schema).',
  });
}
