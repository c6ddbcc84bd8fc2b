/** What a person types, and which source or target it means. */
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { resolveSource, resolveTarget, SCHEMES } from 'vecsnap/source';
import { describe, expect, it } from 'vitest';
import { expectCode, summarise, withOpen } from './contract/source.js';
import { freshDirectory, seededBytes } from './support/files.js';
import { binBytes, npyBytes, npyText } from './support/matrices.js';

const path = freshDirectory();

const MATRICES = ['fbin', 'u8bin', 'i8bin', 'npy', 'fvecs', 'bvecs'];

describe('a source by its scheme', () => {
  it('knows its schemes', () => {
    expect(SCHEMES).toEqual(expect.arrayContaining([...MATRICES, 'file', 'dir']));
  });

  it.each([...MATRICES, 'file', 'dir'])('%s', async (scheme) => {
    const source = await resolveSource(`${scheme}:some/where.${scheme}`);
    expect(source.place).toBe(`${scheme}:some/where.${scheme}`);
    expect(source.collection).toBe(MATRICES.includes(scheme) ? 'where' : `where.${scheme}`);
    expect((await resolveTarget(`${scheme}:out:put`)).place).toBe(`${scheme}:out:put`);
  });

  it('says which schemes there are when one is unknown', async () => {
    for (const resolve of [resolveSource, resolveTarget]) {
      const error = await expectCode('SOURCE_UNRECOGNISED', () => resolve('parquet:vectors'));
      for (const scheme of SCHEMES) expect(error.remedy).toContain(`${scheme}:`);
    }
  });

  it.each(['', 'npy:'])('needs a location: %j', async (text) => {
    await expectCode('OPTION_INVALID', () => resolveSource(text));
    await expectCode('OPTION_INVALID', () => resolveTarget(text));
  });
});

describe('a source by its path', () => {
  it('is told by what stands there, then by the ending, and is a file otherwise', async () => {
    await writeFile(path('a.fbin'), binBytes(2, 3, 4));
    await writeFile(path('b.FBIN'), binBytes(2, 3, 4));
    await writeFile(path('unnamed'), npyBytes(npyText('<f4', 2, 3), 24));
    await writeFile(path('c.npy'), 'no array');
    await writeFile(path('d.txt'), 'text');
    await writeFile(path('empty'), '');
    await mkdir(path('tree.npy'));
    await symlink('tree.npy', path('to tree'));
    const schemes = async (...names: string[]) =>
      Promise.all(names.map(async (name) => (await resolveSource(path(name))).place.split(':')[0]));
    expect(await schemes('a.fbin', 'b.FBIN', 'unnamed', 'c.npy')).toEqual(['fbin', 'fbin', 'npy', 'npy']);
    expect(await schemes('d.txt', 'empty', 'tree.npy', 'to tree')).toEqual(['file', 'file', 'dir', 'dir']);
    expect(await schemes('nothing', 'nothing.fvecs')).toEqual(['file', 'fvecs']);
    expect((await resolveSource(path('b.FBIN'))).collection).toBe('b');
    expect((await resolveSource(path('tree.npy'))).collection).toBe('tree.npy');
  });

  it('may have a colon when something stands there', async () => {
    const old = process.cwd();
    process.chdir(path());
    try {
      await writeFile('odd:name', 'text');
      expect((await resolveSource('odd:name')).place).toBe('file:odd:name');
      expect((await resolveSource('./other:name')).place).toBe('file:./other:name');
      expect((await resolveSource('C:vectors.npy')).place).toBe('npy:C:vectors.npy');
      expect((await resolveTarget('odd:name', { name: 'file' })).place).toBe('file:odd:name');
      await expectCode('SOURCE_UNRECOGNISED', () => resolveSource('other:name'));
    } finally {
      process.chdir(old);
    }
  });

  it('gives . the name of its directory', async () => {
    const { collection } = await resolveSource('dir:.');
    expect(process.cwd().endsWith(`/${collection}`)).toBe(true);
    expect((await resolveSource('/')).collection).toBe('dir');
    expect((await resolveSource('fbin:.fbin')).collection).toBe('.fbin');
  });
});

describe('a target by its path', () => {
  it.each([
    ['out.npy', undefined, 'npy'],
    ['out.npy', 'fbin', 'npy'],
    ['out.FVECS', 'npy', 'fvecs'],
    ['out', 'npy', 'npy'],
    ['out.data', 'fbin', 'fbin'],
    ['out', 'file', 'file'],
    ['out.npy', 'file', 'file'],
    ['out', 'directory', 'dir'],
    ['out.fbin', 'directory', 'dir'],
  ])('%s of a snapshot of %s is %s', async (text, format, scheme) => {
    const target = await resolveTarget(text, format === undefined ? undefined : { name: format });
    expect(target.place).toBe(`${scheme}:${text}`);
  });

  it.each([undefined, { name: 'something newer' }])(
    'needs something that tells the format',
    async (format) => {
      await expectCode('SOURCE_UNRECOGNISED', () => resolveTarget('out', format));
    },
  );
});

describe('from a source to the target that fits', () => {
  it.each([
    ['a.npy', npyBytes(npyText('<f4', 2, 3), 24)],
    ['fortran.npy', npyBytes(npyText('<f4', 2, 3).replace('False', 'True'), 24)],
    ['empty.fvecs', new Uint8Array()],
    ['other.txt', seededBytes(100, 1)],
  ])('%s comes back', async (name, bytes) => {
    await writeFile(path(name), bytes);
    const source = await resolveSource(path(name));
    await withOpen(source, async (content) => {
      await (await resolveTarget(path(`out-${name}`), content.format)).write(content, {});
      await (await resolveTarget(path('out'), content.format)).write(content, {});
    });
    expect(new Uint8Array(await readFile(path(`out-${name}`)))).toEqual(new Uint8Array(bytes));
    expect(new Uint8Array(await readFile(path('out')))).toEqual(new Uint8Array(bytes));
    await withOpen(source, summarise);
  });
});
