/**
 * Processes that are killed: the built command line works on a repository in a real directory, and gets SIGKILL at any instant.
 * After each kill everything that was acknowledged is there, restores exactly and verifies, and the next command waits for nobody.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { resolveTarget, SnapshotManager } from 'vecsnap';
import { Chance } from './chance.js';
import { IndexDamage } from './index-damage.js';
import type { Standing } from './world.js';

/** How much is done. */
export interface KillOptions {
  readonly seed: number;
  readonly kills: number;
  /** End after so many milliseconds, if that is sooner; told by `now`. */
  readonly milliseconds?: number;
  readonly now: () => number;
}

/** What was found. */
export interface KillTotals {
  kills: number;
  /** Commands that were done before they were to be killed. */
  completed: number;
  /** Kills after which another lease or temporary file was left than before. */
  halfDone: number;
  readonly failures: string[];
}

const MAIN = resolve('dist/cli/main.js');
const RECORDS = 1500;
const DIMENSION = 48;

interface Finished {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly milliseconds: number;
}

/** Kills so many processes, each at another instant. */
export async function killMany({
  seed,
  kills,
  milliseconds = Infinity,
  now,
}: KillOptions): Promise<KillTotals> {
  const totals: KillTotals = { kills: 0, completed: 0, halfDone: 0, failures: [] };
  const directory = mkdtempSync(join(tmpdir(), 'vecsnap-kill-'));
  const end = now() + milliseconds;
  const trial = new KillTrial(directory, seed, now, totals);
  try {
    await trial.begin();
    while (totals.kills < kills && now() < end) await trial.next();
    await trial.finish();
  } catch (error) {
    totals.failures.push(`${trial.history.slice(-12).join('\n')}\n${(error as Error).stack}`);
  } finally {
    rmSync(directory, { recursive: true });
  }
  return totals;
}

class KillTrial {
  readonly history: string[] = [];
  readonly #chance: Chance;
  readonly #repo: string;
  readonly #source: string;
  readonly #restored: string;
  readonly #now: () => number;
  readonly #totals: KillTotals;
  readonly #damage: IndexDamage;
  /** By name; the name of a snapshot tells of what version it is. */
  readonly #promised = new Map<string, Standing>();
  readonly #usual = new Map<string, number>();
  #version = 0;
  /** Whether the index was harmed since verify last found nothing. */
  #isHarmed = false;

  constructor(directory: string, seed: number, now: () => number, totals: KillTotals) {
    this.#chance = new Chance(seed);
    this.#repo = join(directory, 'repo');
    this.#source = join(directory, 'vectors.fbin');
    this.#restored = join(directory, 'restored.fbin');
    this.#now = now;
    this.#totals = totals;
    this.#damage = new IndexDamage(join(this.#repo, 'index'), join(directory, 'copies'));
  }

  async begin(): Promise<void> {
    await this.#must(['init', this.#repo]);
    // How long things take when nobody kills them.
    for (let i = 0; i < 2; i++) await this.#create(Infinity);
    await this.#command('gc', ['gc', this.#repo], Infinity);
  }

  /** One command that is killed, or done before that, and a look at what it left. */
  async next(): Promise<void> {
    const what = this.#chance.below(10);
    if (what < 5) await this.#create(this.#killAfter('create'));
    else if (what < 7) await this.#forget(this.#killAfter('forget'));
    else if (what < 9) await this.#command('gc', ['gc', this.#repo], this.#killAfter('gc'));
    else await this.#command('repair', ['repair', this.#repo], this.#killAfter('repair'));
    if (this.#chance.once(3)) this.#damage.keep();
    if (this.#chance.once(6)) {
      this.history.push(`the index: ${this.#damage.harm(this.#chance)}`);
      this.#isHarmed = true;
    }
    await this.#check();
  }

  /** Forgets all but one, sweeps, and sees that nothing stays that nobody needs; then the same without that one. */
  async finish(): Promise<void> {
    await this.#create(Infinity);
    await this.#use(async (manager) => {
      const [, ...others] = await manager.listSnapshots();
      await manager.deleteSnapshots(others.map(({ id }) => id));
      for (const { name } of others) this.#promised.set(name, 'gone');
      await manager.collectGarbage({ maxUnused: 0 });
      const { unreferencedBytes } = await manager.stats();
      if (unreferencedBytes > 0) throw new Error(`${unreferencedBytes} bytes are left that nothing needs`);
    });
    await this.#check();
    this.#expectEmpty('tmp', 'locks');
    await this.#use(async (manager) => {
      await manager.cleanupOldSnapshots(1);
      for (const { id } of await manager.listSnapshots()) await manager.deleteSnapshot(id);
      await manager.collectGarbage();
    });
    this.#expectEmpty('tmp', 'locks', 'packs', 'snapshots');
  }

  async #create(killAfter: number): Promise<void> {
    const version = ++this.#version;
    const name = `v${version}`;
    writeFileSync(this.#source, matrixOf(version));
    this.#promised.set(name, 'may');
    const done = await this.#command(
      'create',
      ['create', this.#repo, this.#source, '--name', name],
      killAfter,
    );
    if (done) this.#promised.set(name, 'must');
  }

  async #forget(killAfter: number): Promise<void> {
    const there = [...this.#promised].filter(([, standing]) => standing === 'must').map(([name]) => name);
    const names = there.filter(() => this.#chance.once(3)).slice(0, 4);
    if (names.length === 0) return;
    for (const name of names) this.#promised.set(name, 'may');
    if (await this.#command('forget', ['forget', this.#repo, ...names], killAfter))
      for (const name of names) this.#promised.set(name, 'gone');
  }

  /** Whether it was done before it was killed. @throws when it fails by itself. */
  async #command(kind: string, args: readonly string[], killAfter: number): Promise<boolean> {
    const before = this.#leftNames();
    const { code, stdout, stderr, milliseconds } = await this.#spawn(
      [...args, '--json', '--lock-timeout', '0'],
      killAfter,
    );
    const isDone = code === 0 && isJson(stdout);
    this.history.push(`${args.join(' ')}: ${isDone ? 'done' : `killed after ${Math.round(killAfter)} ms`}`);
    if (isDone) {
      const usual = this.#usual.get(kind);
      this.#usual.set(kind, usual === undefined ? milliseconds : (usual * 3 + milliseconds) / 4);
      if (killAfter < Infinity) this.#totals.completed++;
      return true;
    }
    if (code !== null) throw new Error(`${kind} failed with ${code}: ${stderr}`);
    this.#totals.kills++;
    if (this.#leftNames() !== before) this.#totals.halfDone++;
    return false;
  }

  #spawn(args: readonly string[], killAfter: number): Promise<Finished> {
    const began = this.#now();
    const child = spawn(process.execPath, [MAIN, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    const timer = killAfter < Infinity ? setTimeout(() => child.kill('SIGKILL'), killAfter) : undefined;
    let [stdout, stderr] = ['', ''];
    child.stdout.on('data', (piece: Buffer) => (stdout += piece.toString()));
    child.stderr.on('data', (piece: Buffer) => (stderr += piece.toString()));
    return new Promise((done) => {
      child.on('close', (code) => {
        clearTimeout(timer);
        done({ code, stdout, stderr, milliseconds: this.#now() - began });
      });
    });
  }

  async #must(args: readonly string[]): Promise<void> {
    const { code, stderr } = await this.#spawn(args, Infinity);
    if (code !== 0) throw new Error(`${args.join(' ')}: ${stderr}`);
  }

  /** Mostly not while Node.js is still starting. */
  #killAfter(kind: string): number {
    const usual = this.#usual.get(kind) ?? this.#usual.get('gc') ?? 300;
    const share = this.#chance.once(8) ? 0 : 0.35;
    return usual * (share + ((1.3 - share) * this.#chance.below(1000)) / 1000);
  }

  async #check(): Promise<void> {
    await this.#use(async (manager) => {
      const { snapshots, problems } = await manager.listAll();
      if (problems.length > 0) throw new Error(`snapshots cannot be read: ${JSON.stringify(problems)}`);
      const names = new Set(snapshots.map(({ name }) => name));
      for (const [name, standing] of this.#promised)
        if (standing === 'must' && !names.has(name)) throw new Error(`the snapshot ${name} is lost`);
      for (const { id, name } of snapshots) {
        if (this.#promised.get(name) === 'gone') throw new Error(`the snapshot ${name} came back`);
        await manager.restoreSnapshot(id, await resolveTarget(this.#restored), { overwrite: true });
        const isSame = readFileSync(this.#restored).equals(matrixOf(Number(name.slice(1))));
        if (!isSame) throw new Error(`the snapshot ${name} restores to something else`);
      }
      const { problems: all, ok } = await manager.verifyRepository();
      const found = all.filter(({ code }) => code !== 'INDEX_DAMAGED' || !this.#isHarmed);
      this.#isHarmed &&= !ok;
      if (found.length > 0) throw new Error(`verify finds ${JSON.stringify(found).slice(0, 2000)}`);
    });
  }

  async #use(work: (manager: SnapshotManager) => Promise<void>): Promise<void> {
    const manager = await SnapshotManager.open({
      snapshotDir: this.#repo,
      workers: 1,
      ownsThread: true,
      lockTimeoutMs: 0,
    });
    try {
      await work(manager);
    } finally {
      await manager.close();
    }
  }

  #left(folder: string): string[] {
    return readdirSync(this.#repo).includes(folder) ? readdirSync(join(this.#repo, folder)) : [];
  }

  #leftNames(): string {
    return ['tmp', 'locks'].flatMap((folder) => this.#left(folder)).join(' ');
  }

  #expectEmpty(...folders: readonly string[]): void {
    const left = folders.flatMap((folder) => this.#left(folder).map((name) => `${folder}/${name}`));
    if (left.length > 0) throw new Error(`left behind: ${left.join(', ')}`);
  }
}

/** A matrix of a version as a file: a part of the rows differs from one version to the next, and some come. */
function matrixOf(version: number): Buffer {
  const rows = RECORDS + 3 * version;
  const numbers = new Float32Array(rows * DIMENSION);
  for (let row = 0; row < rows; row++) {
    const chance = new Chance(row * 4096 + (row % 29 < 2 ? version - (row % 5) : 0));
    for (let i = 0; i < DIMENSION; i++) numbers[row * DIMENSION + i] = chance.below(2 ** 20) / 2 ** 20 - 0.5;
  }
  return Buffer.concat([Buffer.from(Uint32Array.of(rows, DIMENSION).buffer), Buffer.from(numbers.buffer)]);
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false; // Cut short by the kill.
  }
}
