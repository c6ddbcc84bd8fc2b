/** The index is expendable: deleted, cut short, garbled or put back from a copy at any time, no command gives a wrong answer. */
import fc from 'fast-check';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inlineCoder } from 'vecsnap/cas';
import { directoryEnvironment, nodeDeflate, nodeSha256 } from 'vecsnap/platform';
import { type Snapshot, SnapshotManager } from 'vecsnap/snapshot';
import type { OpenSource, Source } from 'vecsnap/source';
import { describe, expect, it } from 'vitest';
import { Chance } from './crash/chance.js';
import { IndexDamage } from './crash/index-damage.js';
import { Collecting, type Matter, versionOf } from './crash/matter.js';
import { runs } from './support/arbitraries.js';

const PARAMETERS = {
  rowGroups: { targetBytes: 512, minRecords: 4, maxRecords: 64 },
  nodes: { window: 1, max: 8 },
  packBytes: 3000,
};
const CODER = inlineCoder({ sha256: nodeSha256, deflate: nodeDeflate });

/** A repository, what is known of it, and what was done, for the message of a failure. */
class Trial {
  readonly directory = mkdtempSync(join(tmpdir(), 'vecsnap-index-'));
  readonly history: string[] = [];
  readonly #chance: Chance;
  readonly #damage = new IndexDamage(join(this.directory, 'repo/index'), join(this.directory, 'copies'));
  readonly #expected = new Map<string, Matter>();
  #count = 0;
  /** Whether harm was done since verify last found nothing. */
  #isHarmed = false;

  constructor(seed: number) {
    this.#chance = new Chance(seed);
  }

  async run(): Promise<void> {
    const manager = await SnapshotManager.init(this.#config(), PARAMETERS);
    await manager.close();
    for (let step = 0; step < 9; step++) {
      if (this.#chance.once(2)) this.#damage.keep();
      if (!this.#chance.once(3)) this.#harm('between', this.#damage.harm(this.#chance));
      await this.#step();
    }
    await this.#use('the end', async (manager) => {
      await manager.collectGarbage({ maxUnused: 0 });
      expect((await manager.stats()).unreferencedBytes).toBe(0);
      await this.#check(manager);
      expect((await manager.verifyRepository()).problems).toEqual([]);
    });
  }

  async #step(): Promise<void> {
    const what = this.#chance.below(10);
    const names = [...this.#expected.keys()];
    if (what < 4 || names.length === 0) await this.#use('create', (manager) => this.#create(manager));
    else if (what < 6)
      await this.#use('forget', async (manager) => {
        const gone = names.filter(() => this.#chance.once(2));
        const snapshots = (await manager.listSnapshots()).filter(({ name }) => gone.includes(name));
        await manager.deleteSnapshots(snapshots.map(({ id }) => id));
        for (const name of gone) this.#expected.delete(name);
      });
    else if (what < 8)
      await this.#use('gc', (manager) => manager.collectGarbage({ maxUnused: this.#chance.pick([0, 0.05]) }));
    else await this.#use('read', (manager) => this.#check(manager));
    if (this.#chance.once(2)) await this.#use('verify', (manager) => this.#verify(manager));
    if (this.#chance.once(2)) await this.#use('read', (manager) => this.#check(manager));
  }

  async #create(manager: SnapshotManager): Promise<void> {
    const name = `s${this.#count++}`;
    const matter = versionOf(this.#chance.below(7), this.#chance.once(6) ? 77 : 0);
    const source = matter.sourceOf('c');
    const harmed = this.#chance.once(4) ? this.#harmedOnOpen(source) : source;
    const [base] = await manager.listSnapshots();
    if (base === undefined) await manager.createSnapshot(harmed, name);
    else await manager.createIncrementalSnapshot(harmed, name, base.id);
    this.#expected.set(name, matter);
  }

  /** The source, whose reading begins after harm was done to the index that is in use. */
  #harmedOnOpen(source: Source): Source {
    const open = async (): Promise<OpenSource> => {
      this.#harm('during', this.#damage.replace(this.#chance));
      return source.open();
    };
    return { ...source, open };
  }

  #harm(when: string, what: string): void {
    this.history.push(`${when}: ${what}`);
    this.#isHarmed = true;
  }

  /** Nothing but the index may look damaged, and that only after harm was done. */
  async #verify(manager: SnapshotManager): Promise<void> {
    const { problems } = await manager.verifyRepository();
    const codes = problems.map(({ code }) => code);
    expect(codes).toEqual(this.#isHarmed && codes.length > 0 ? ['INDEX_DAMAGED'] : []);
    this.#isHarmed = codes.length > 0;
  }

  async #check(manager: SnapshotManager): Promise<void> {
    const snapshots = await manager.listSnapshots();
    expect(snapshots.map(({ name }: Snapshot) => name).toSorted()).toEqual(
      [...this.#expected.keys()].toSorted(),
    );
    for (const { id, name } of snapshots) {
      const target = new Collecting();
      await manager.restoreSnapshot(id, target);
      expect(target.text === this.#expected.get(name)?.text).toBe(true);
      expect((await manager.verifySnapshot(id)).problems).toEqual([]);
    }
  }

  async #use(what: string, work: (manager: SnapshotManager) => Promise<unknown>): Promise<void> {
    this.history.push(what);
    const manager = await SnapshotManager.open(this.#config());
    try {
      await work(manager);
    } finally {
      await manager.close();
    }
  }

  #config() {
    const environment = { ...directoryEnvironment(join(this.directory, 'repo')), coder: CODER };
    return { environment, ownsThread: true, lockTimeoutMs: 0 };
  }
}

describe('an index that is harmed at any time', () => {
  it('gives no wrong answers, whatever was done before', async () => {
    const harms = new Set<string>();
    await fc.assert(
      fc.asyncProperty(fc.nat(), async (seed) => {
        const trial = new Trial(seed);
        try {
          await trial.run();
          for (const line of trial.history) harms.add(line.replaceAll(/\d+/g, ''));
        } catch (cause) {
          throw new Error(`${trial.history.join('\n')}\n${(cause as Error).message}`, { cause });
        } finally {
          rmSync(trial.directory, { recursive: true });
        }
      }),
      { numRuns: runs(12) },
    );
    expect(harms.size).toBeGreaterThan(20);
  }, 600_000);
});
