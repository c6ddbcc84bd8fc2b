/** Hostile content of snapshots, files and folders: paths that lead elsewhere, text that disturbs a terminal, lines and exports that lie. */
import { mkdir, readdir, readFile, readlink, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { SnapshotManager } from 'vecsnap';
import { fsBlobStore } from 'vecsnap/blob';
import { type ErrorCode, isVecsnapError, utf8 } from 'vecsnap/core';
import { type Entry } from 'vecsnap/manifest';
import {
  directorySource,
  directoryTarget,
  isInnerFilePath,
  jsonlSource,
  resolveSource,
} from 'vecsnap/source';
import { describe, expect, it } from 'vitest';
import { cli } from './support/cli.js';
import { collect } from './support/collect.js';
import { freshDirectory } from './support/files.js';
import { HostileRepository } from './support/hostile-repository.js';
import { memorySource } from './support/memory-environment.js';
import { codeOf } from './support/outcomes.js';

const at = freshDirectory();

describe('a path', () => {
  const entry = (path: Uint8Array, value: Entry['value'], bytes = 0): Entry => ({
    key: path,
    count: 1,
    bytes,
    value,
  });
  const file = (repository: HostileRepository, path: string): Entry => {
    const { root, bytes } = repository.stream(utf8('harm'));
    return entry(utf8(path), ['file', 0o644, root], bytes);
  };

  /** Restores a tree of these entries. Whatever comes of it, nothing stands beside the target. */
  async function outcome(make: (repository: HostileRepository) => Entry[]): Promise<ErrorCode | 'restored'> {
    const repository = new HostileRepository();
    const { id } = await repository.snapshot({ files: repository.node(0, make(repository)) });
    await mkdir(at('inner', 'more'), { recursive: true });
    const manager = await repository.open();
    const result = await manager.restoreSnapshot(id, directoryTarget(at('inner', 'more', 'out'))).then(
      () => 'restored' as const,
      (error: unknown) => (isVecsnapError(error) ? error.code : Promise.reject(error as Error)),
    );
    await manager.close();
    expect(await readdir(at())).toEqual(['inner']);
    expect(await readdir(at('inner'))).toEqual(['more']);
    expect(await readdir(at('inner', 'more'))).toEqual(result === 'restored' ? ['out'] : []);
    return result;
  }

  it.each([
    '../harm',
    '../../harm',
    'a/../../harm',
    '/harm',
    '/tmp/harm',
    './harm',
    'a/./b',
    'a//b',
    'a/',
    '.',
    '..',
    'a\0b',
  ])('that leads out of the tree, or is none, is refused: %j', async (path) => {
    expect(await outcome((repository) => [file(repository, path)])).toBe('MANIFEST_DAMAGED');
    expect(await outcome(() => [entry(utf8(path), ['directory', 0o755])])).toBe('MANIFEST_DAMAGED');
    expect(await outcome(() => [entry(utf8(path), ['link', 0o777, 'x'])])).toBe('MANIFEST_DAMAGED');
  });

  it('that is not UTF-8 is refused', async () => {
    expect(await outcome(() => [entry(Uint8Array.of(0xff, 0x61), ['directory', 0o755])])).toBe(
      'MANIFEST_DAMAGED',
    );
  });

  it('through a link that the same content brought along is refused', async () => {
    const link = (target: string) => entry(utf8('a'), ['link', 0o777, target]);
    for (const target of ['..', '/tmp', '../..', at()])
      expect(await outcome((repository) => [link(target), file(repository, 'a/harm')])).toBe(
        'TARGET_UNSUITABLE',
      );
    expect(await outcome((repository) => [file(repository, 'a'), file(repository, 'a/b')])).toBe(
      'TARGET_UNSUITABLE',
    );
  });

  it('of a link may lead anywhere: it is made as it is, and never followed', async () => {
    expect(await outcome(() => [entry(utf8('a'), ['link', 0o777, '../../../../etc/passwd'])])).toBe(
      'restored',
    );
    expect(await readlink(at('inner', 'more', 'out', 'a'))).toBe('../../../../etc/passwd');
  });

  it.each(['', 'x\0y'])('of a link that no system can make is refused: %j', async (target) => {
    expect(await outcome(() => [entry(utf8('a'), ['link', 0o777, target])])).toBe('MANIFEST_DAMAGED');
  });

  it.each(['C:\\harm', 'a\\..\\..\\harm', 'con', 'a:b', 'a\nb', '\u001b[31m', '-rf', '~', '$(x)', 'ä', 'a '])(
    'that means nothing here is a name like any other: %j',
    async (path) => {
      expect(await outcome((repository) => [file(repository, path)])).toBe('restored');
      expect(await readdir(at('inner', 'more', 'out'))).toEqual([path]);
    },
  );

  it('that means something on Windows is refused there', () => {
    for (const path of ['..\\harm', 'a\\b', 'C:x', 'a:stream', 'a/b.', 'a/b ', 'a./b'])
      expect({ path, posix: isInnerFilePath(path, '/'), windows: isInnerFilePath(path, '\\') }).toEqual({
        path,
        posix: true,
        windows: false,
      });
    expect(isInnerFilePath('a/b.c', '\\')).toBe(true);
  });

  it('that differs from another by its case stands beside it, or is refused where it cannot', async () => {
    const isSensitive = await stat(at().toUpperCase()).then(
      () => false,
      () => true,
    );
    const result = await outcome((repository) => [
      entry(utf8('Dir'), ['link', 0o777, '..']),
      file(repository, 'FILE'),
      file(repository, 'dir/harm'),
      file(repository, 'file'),
    ]);
    expect(result).toBe(isSensitive ? 'restored' : 'TARGET_UNSUITABLE');
  });

  it('of a source that is not UTF-8 is refused, and says which', async () => {
    await mkdir(at('tree'));
    await writeFile(Buffer.concat([utf8(at('tree', 'caf')), Uint8Array.of(0xe9)]), 'x');
    const opening = resolveSource(`dir:${at('tree')}`).then((source) => source.open());
    await expect(opening).rejects.toMatchObject({
      code: 'SOURCE_INVALID',
      message: expect.stringContaining('café') as string,
    });
    await rm(at('tree'), { recursive: true });
    await mkdir(at('tree'));
    await symlink(Buffer.of(0xff, 0x61), at('tree', 'link'));
    await expect(directorySource(at('tree')).open()).rejects.toMatchObject({ code: 'SOURCE_INVALID' });
  });
});

describe('text that disturbs a terminal', () => {
  const NASTY = 'a\u001b[31m\u009b2J\u202e\n\r\u0007\u2028b';
  // eslint-disable-next-line no-control-regex
  const DISTURBING = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2028\u2029]/u;

  it('is printed as escapes, for people and in JSON', async () => {
    const repository = new HostileRepository(fsBlobStore(at('repo')));
    const files = repository.file(NASTY, repository.stream(utf8('x')));
    const says = {
      name: NASTY,
      collection: NASTY,
      tags: [NASTY],
      notes: [NASTY],
      metadata: { [NASTY]: NASTY },
    };
    const { id } = await repository.snapshot({ files, format: { name: NASTY } }, says);
    const other = await repository.snapshot({ files: repository.file('y', repository.stream(utf8('y'))) });
    await repository.write();
    const commands = [
      ['list', at('repo')],
      ['show', at('repo'), id],
      ['diff', at('repo'), id, other.id],
      ['verify', at('repo')],
      ['restore', at('repo'), id, `dir:${at('out')}`],
      ['restore', at('repo'), id, NASTY],
      ['forget', at('repo'), `${NASTY}?`],
    ];
    for (const command of commands) {
      for (const args of [command, [...command, '--json']]) {
        const { stdout, stderr } = await cli(...args);
        expect({ args, found: DISTURBING.exec(stdout + stderr)?.[0] }).toEqual({ args, found: undefined });
      }
    }
    const { stdout } = await cli('list', at('repo'), '--json');
    expect((JSON.parse(stdout) as { name: string }[]).map(({ name }) => name)).toContain(NASTY);
  });
});

describe('a JSON Lines file', () => {
  const open = async (text: string | Uint8Array) => {
    await writeFile(at('x.jsonl'), text);
    return jsonlSource(at('x.jsonl')).open();
  };

  it.each([
    ['an id above 64 bits', '{"id": 18446744073709551616, "vector": [1]}', 'SOURCE_INVALID'],
    ['an id below zero', '{"id": -1, "vector": [1]}', 'SOURCE_INVALID'],
    ['an id that is no whole number', '{"id": 1e3, "vector": [1]}', 'SOURCE_INVALID'],
    ['an id with a lone surrogate', '{"id": "\\ud800", "vector": [1]}', 'SOURCE_INVALID'],
    ['one id twice', '{"id": "a", "vector": [1]}\n{"id": "\\u0061", "vector": [2]}', 'SOURCE_DUPLICATE_ID'],
    ['a number beyond all', '{"id": "a", "vector": [1e999]}', 'SOURCE_INVALID'],
    [
      'nesting without end',
      `{"id": "a", "vector": [1], "metadata": ${'['.repeat(100_000)}${']'.repeat(100_000)}}`,
      'SOURCE_INVALID',
    ],
    ['a vector nested without end', `{"id": "a", "vector": ${'['.repeat(100_000)}`, 'SOURCE_INVALID'],
  ])('with %s', async (_, text, code) => {
    expect(await codeOf(open(text))).toBe(code);
  });

  /** Each of these took minutes, or as long as the square of their length. */
  it.each([
    ['zeros within a number', `{"id": "a", "metadata": [1${'0'.repeat(2_000_000)}1]}`],
    ['digits of an exponent', `{"id": "a", "metadata": [1e${'9'.repeat(2_000_000)}]}`],
    ['keys', `{"id": "a", ${Array.from({ length: 200_000 }, (__, i) => `"k${i}": 1`).join(', ')}}`],
    ['backslashes', `{"id": "a", "metadata": "${'\\\\'.repeat(1_000_000)}"}`],
    ['quotes', `{"id": "a", "metadata": "${'\\"'.repeat(1_000_000)}"}`],
  ])('with a million %s is read in proportion to its length', async (_, text) => {
    const source = await open(text);
    expect(await collect(source.records?.() ?? [])).toMatchObject([{ count: 1 }]);
    await source.close();
  });
});

describe('an exported folder', () => {
  async function folderThatSays(
    change: (description: Record<string, unknown>) => void,
  ): Promise<SnapshotManager> {
    const { folderTarget } = await import('vecsnap/source');
    const { createHash } = await import('node:crypto');
    const schema = {
      id: 'string',
      vectors: [{ name: 'v', dtype: 'u8', dimension: 1 }],
      payload: 'none',
    } as const;
    const records = [{ id: 'a', vectors: [Uint8Array.of(1)], payload: new Uint8Array(0) }];
    const told = {
      name: 'n',
      collection: 'c',
      createdAt: '2024-01-01T00:00:00.000Z',
      tags: [],
      metadata: {},
    };
    await folderTarget(at('folder'), told).write(await memorySource({ schema, records }).open(), {});
    const description = JSON.parse(await readFile(at('folder', 'metadata.json'), 'utf8')) as Record<
      string,
      unknown
    >;
    change(description);
    const text = JSON.stringify(description);
    await writeFile(at('folder', 'metadata.json'), text);
    const digest = createHash('sha256').update(text).digest('hex');
    const sums = await readFile(at('folder', 'checksum.sha256'), 'utf8');
    await writeFile(at('folder', 'checksum.sha256'), sums.replace(/^.{64}/, digest));
    return SnapshotManager.init({ snapshotDir: at('repo') });
  }

  const say = (key: string, value: unknown) => (description: Record<string, unknown>) => {
    description[key] = value;
  };
  const saySnapshot = (key: string, value: unknown) => (description: Record<string, unknown>) => {
    (description['snapshot'] as Record<string, unknown>)[key] = value;
  };
  const saySchema = (key: string, value: unknown) => (description: Record<string, unknown>) => {
    (description['schema'] as Record<string, unknown>)[key] = value;
  };
  const TEXTLESS = { toString: 1, valueOf: 1 };

  it.each([
    ['records without end', say('records', 1e300)],
    ['a part of a record', say('records', 0.5)],
    ['fewer records than there are', say('records', 0)],
    ['a snapshot that is none', say('snapshot', [])],
    ['a version without a text', say('version', TEXTLESS)],
    ['a format without a text', say('format', TEXTLESS)],
    ['a time without a text', saySnapshot('createdAt', TEXTLESS)],
    ['a time that no id holds', saySnapshot('createdAt', '+275760-09-13T00:00:00.000Z')],
    ['a time before 1970', saySnapshot('createdAt', '1900-01-01T00:00:00.000Z')],
    ['tags that are no texts', saySnapshot('tags', [TEXTLESS])],
    ['metadata that is no map', saySnapshot('metadata', [1])],
    ['columns that are none', saySchema('vectors', 7)],
    ['a column without a name', saySchema('vectors', [{ name: 7, dtype: 'u8', dimension: 1 }])],
    ['a column of no type', saySchema('vectors', [{ name: 'v', dtype: 'toString', dimension: 1 }])],
    ['a metric that is no text', saySchema('vectors', [{ name: 'v', dtype: 'u8', dimension: 1, metric: 5 }])],
    ['a dimension without a text', saySchema('vectors', [{ name: 'v', dtype: 'u8', dimension: TEXTLESS }])],
    ['a model that is no map of texts', saySchema('model', { a: {} })],
  ])('with %s is refused', async (_, change) => {
    const manager = await folderThatSays(change);
    expect(await codeOf(manager.importSnapshot(at('folder')))).toBe('IMPORT_DAMAGED');
    expect(await manager.listSnapshots()).toEqual([]);
    await manager.close();
  });
});
