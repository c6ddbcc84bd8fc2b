/** docs/architecture.md says who may import whom, and the checker of imports says the same. */
import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

const ROOT = join(import.meta.dirname, '..');

interface Rule {
  readonly name: string;
  readonly from: { readonly path?: string };
  readonly to: { readonly path?: string | readonly string[]; readonly pathNot?: string };
}

const { forbidden } = createRequire(import.meta.url)('../.dependency-cruiser.cjs') as {
  readonly forbidden: readonly Rule[];
};

/** The rows of the table: folder, what it imports, whether it uses Node.js. */
const rows = [
  ...readFileSync(join(ROOT, 'docs/architecture.md'), 'utf8').matchAll(
    /^\| `src\/(\w+)` +\|[^|]*\|([^|]*)\|([^|]*)\|$/gm,
  ),
].map(([, folder, imports, node]) => ({
  folder: folder as string,
  imports: [...(imports as string).matchAll(/`(\w+)`/g)].map(([, name]) => name as string),
  usesNode: node?.trim() === 'yes',
}));

/** Parts of a pattern such as `^src/(a|b)/`. */
function alternatives(pattern: string | undefined): string[] {
  return /^\^src\/\(?([\w|]+)\)?\/$/.exec(pattern ?? '')?.[1]?.split('|') ?? [];
}

describe('docs/architecture.md', () => {
  it('has every folder', () => {
    const folders = readdirSync(join(ROOT, 'src'), { withFileTypes: true }).filter((entry) =>
      entry.isDirectory(),
    );
    const named = rows.map(({ folder }) => folder);
    for (const { name } of folders) expect(named).toContain(name);
  });

  it('has the directions of imports that are checked', () => {
    const directions = forbidden.filter(({ name }) => name.includes('-imports-only-'));
    const checked = directions.map(({ from, to }) => {
      const [folder] = alternatives(from.path);
      return { folder, imports: alternatives(to.pathNot).filter((name) => name !== folder) };
    });
    expect(checked.length).toBeGreaterThan(8);
    for (const { folder, imports } of checked) {
      const row = rows.find((one) => one.folder === folder);
      expect(row?.imports.toSorted(), folder).toEqual(imports.toSorted());
    }
  });

  it('has the folders that use nothing of Node.js', () => {
    const pure = forbidden
      .filter(({ to }) => JSON.stringify(to) === '{"dependencyTypes":["core"]}')
      .flatMap(({ from }) => alternatives(from.path));
    const stated = rows.filter(({ usesNode }) => !usesNode).map(({ folder }) => folder);
    expect(stated.toSorted()).toEqual(pure.toSorted());
  });

  it('names files and functions that there are', () => {
    const page = readFileSync(join(ROOT, 'docs/architecture.md'), 'utf8');
    const sources = readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .map((name) => readFileSync(join(ROOT, 'src', name), 'utf8'))
      .join('\n');
    for (const [, name, member] of page.matchAll(/`([A-Z]\w+)(?:\.(\w+))?`/g)) {
      expect(sources, name).toMatch(new RegExp(`(class|interface|type) ${name}\\b`));
      if (member !== undefined) expect(sources, member).toMatch(new RegExp(`\\b${member}\\(`));
    }
  });
});
