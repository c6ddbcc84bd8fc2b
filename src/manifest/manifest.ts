/**
 * The manifest of one collection at one moment: a chunk that holds the schema, the format note and the roots of the trees.
 *
 * It holds nothing about when, by whom or after what it was made, so the same content has the same address.
 */
import {
  type Address,
  ADDRESS_LENGTH,
  asMap,
  type Canonical,
  checkSchema,
  type Schema,
  toAddress,
  VecsnapError,
} from '../core/index.js';
import { decodeCanonical, encodeCanonical } from '../core/index.js';
import { damaged, isCount } from './node.js';

/** The root of a tree with its totals. */
export interface TreeReference {
  readonly root: Address;
  readonly count: number;
  readonly bytes: number;
}

/** See the head of this file. */
export interface Manifest {
  /** {@link FILES_VERSION} or, in manifests before it and without files, 1. */
  readonly version: number;
  /** Which format the content came from and what it takes to write it again; see FormatNote in src/source/port.ts. */
  readonly format: { readonly name: string } & { readonly [detail: string]: Canonical };
  readonly schema: Schema | undefined;
  /** The tree of row groups; present when `schema` is. */
  readonly records: TreeReference | undefined;
  /** The tree of files. */
  readonly files: TreeReference | undefined;
}

/** Since this version a file of one chunk refers to it by itself, and not to a tree. */
export const FILES_VERSION = 2;
const MANIFEST_KEYS = ['version', 'format', 'schema', 'records', 'files'];
const SCHEMA_KEYS = ['id', 'payload', 'vectors', 'model'];

/** A manifest that is made now. */
export type NewManifest = Omit<Manifest, 'version'> & { readonly version?: number | undefined };

/** The plaintext of a manifest. Without files it has version 1, so that it has the same bytes as ever. */
export function encodeManifest({ version, format, schema, records, files }: NewManifest): Uint8Array {
  return encodeCanonical({
    version: version ?? (files === undefined ? 1 : FILES_VERSION),
    format,
    schema: schema === undefined ? null : encodeSchema(schema),
    records: encodeReference(records),
    files: encodeReference(files),
  });
}

/** @throws VecsnapError MANIFEST_DAMAGED; REPOSITORY_NEWER for a manifest of a later format. */
export function decodeManifest(bytes: Uint8Array): Manifest {
  const manifest = mapOf(decodeOrFail(bytes), 'the manifest');
  const version = decodeVersion(manifest['version']);
  expectKeys(manifest, MANIFEST_KEYS, 'the manifest');
  const format = mapOf(manifest['format'], 'the format');
  if (typeof format['name'] !== 'string') throw damaged('the format has no name');
  const schema = manifest['schema'] === null ? undefined : decodeSchema(manifest['schema']);
  const records = decodeReference(manifest['records']);
  if ((schema === undefined) !== (records === undefined))
    throw damaged('it has a schema without records, or the reverse');
  const files = decodeReference(manifest['files']);
  return { version, format: format as Manifest['format'], schema, records, files };
}

function decodeVersion(version: Canonical | undefined): number {
  if (!Number.isSafeInteger(version) || (version as number) < 1) throw damaged('the manifest has no version');
  if ((version as number) > FILES_VERSION) throw newerVersion(version as number);
  return version as number;
}

function encodeSchema({ id, vectors, payload, model }: Schema): Canonical {
  return {
    id,
    payload,
    vectors: vectors.map(({ name, dtype, dimension, metric }) => [name, dtype, dimension, metric ?? null]),
    model: model === undefined ? null : { ...model },
  };
}

function decodeSchema(value: Canonical | undefined): Schema {
  const map = mapOf(value, 'the schema');
  expectKeys(map, SCHEMA_KEYS, 'the schema');
  const { id, payload, vectors, model } = map;
  if (!Array.isArray(vectors)) throw damaged('the schema has no vector columns');
  const schema = {
    id,
    payload,
    vectors: (vectors as readonly Canonical[]).map(decodeVectorColumn),
    ...(model === null ? {} : { model: decodeModel(model) }),
  } as unknown as Schema;
  try {
    checkSchema(schema);
  } catch (cause) {
    throw damaged('its schema is wrong', cause);
  }
  return schema;
}

function decodeModel(value: Canonical | undefined): Canonical {
  const model = mapOf(value, 'the model');
  if (!Object.values(model).every((detail) => typeof detail === 'string'))
    throw damaged('a detail of the model is no text');
  return model;
}

function decodeVectorColumn(column: Canonical): Canonical {
  if (!Array.isArray(column) || column.length !== 4)
    throw damaged('a vector column does not have four parts');
  const [name, dtype, dimension, metric] = column as [Canonical, Canonical, Canonical, Canonical];
  if (typeof name !== 'string' || typeof dtype !== 'string')
    throw damaged('a vector column has no name or dtype');
  if (metric !== null && typeof metric !== 'string')
    throw damaged('the metric of a vector column is no text');
  return { name, dtype, dimension, ...(metric === null ? {} : { metric }) };
}

function encodeReference(tree: TreeReference | undefined): Canonical {
  return tree === undefined ? null : [tree.root, tree.count, tree.bytes];
}

function decodeReference(value: Canonical | undefined): TreeReference | undefined {
  if (value === null) return undefined;
  if (!Array.isArray(value) || value.length !== 3) throw damaged('a tree has no root and totals');
  const [root, count, bytes] = value as readonly Canonical[];
  if (!(root instanceof Uint8Array) || root.length !== ADDRESS_LENGTH) throw damaged('a root is no address');
  if (!isCount(count) || !isCount(bytes)) throw damaged('a total is no number');
  return { root: toAddress(root), count, bytes };
}

function mapOf(value: Canonical | undefined, what: string): { readonly [key: string]: Canonical } {
  const map = asMap(value);
  if (map === undefined) throw damaged(`${what} is no map`);
  return map;
}

/** What would be lost if the manifest were written again is never written, so equal content has equal bytes. */
function expectKeys(map: object, keys: readonly string[], what: string): void {
  if (Object.keys(map).some((key) => !keys.includes(key)))
    throw damaged(`${what} has a key that is never written`);
}

function decodeOrFail(bytes: Uint8Array): Canonical {
  try {
    return decodeCanonical(bytes);
  } catch (cause) {
    throw damaged('the manifest is not canonical msgpack', cause);
  }
}

function newerVersion(version: number): VecsnapError {
  return new VecsnapError(
    'REPOSITORY_NEWER',
    `The manifest has version ${version}; this vecsnap reads those up to ${FILES_VERSION}.`,
    {
      remedy: 'Install a newer version of vecsnap.',
    },
  );
}
