/** Verifies snapshots: that everything they refer to is there, and that every byte is what its address says. */
import {
  type Address,
  DigestTable,
  type ErrorCode,
  formatAddress,
  inBatches,
  isVecsnapError,
  throwIfAborted,
  toHex,
  VecsnapError,
} from '../core/index.js';
import { checkPacks } from '../cas/check.js';
import type { ChunkStore, Location } from '../cas/index.js';
import { NodeReader } from '../cas/node-reader.js';
import { decodeManifest, type TreeReference } from '../manifest/manifest.js';
import { checkTotals } from '../manifest/node.js';
import { reachable, type Reached } from '../manifest/reachable.js';
import { TreeReader } from '../manifest/tree-reader.js';
import { readWhole, snapshotForgotten } from './beside-sweeps.js';
import { wrongLength } from './checked-chunks.js';
import { checkSize } from './read-manifest.js';
import { SaidLengths } from './said-lengths.js';
import { marksProblems } from './marks.js';
import { POLICIES_NAME, readPolicies } from './policies.js';
import { ProgressCounter, type WorkOptions } from './progress.js';
import type { Repository, Session, SnapshotProblem } from './repository.js';
import type { Snapshot } from './snapshot.js';
import { manifestAddress } from './snapshot-blob.js';

/** One thing that is wrong. */
export interface Problem {
  readonly code: ErrorCode;
  readonly message: string;
  /** The chunk, as a CID, when one is concerned. */
  readonly address?: string;
  /** The blob, when one is concerned. */
  readonly blob?: string;
  /** Ids of the snapshots that need what is damaged, among those that were verified. */
  readonly snapshots: readonly string[];
}

/** What a verification found. */
export interface VerifyReport {
  readonly ok: boolean;
  readonly problems: readonly Problem[];
  /** Snapshots, chunks and plaintext bytes that were checked. */
  readonly checked: { readonly snapshots: number; readonly chunks: number; readonly bytes: number };
}

/** Something wrong, before it is known which snapshots need it. */
interface Finding {
  readonly error: VecsnapError;
  readonly address?: Address;
  readonly blob?: string;
  readonly snapshot?: string;
  /** Whether it is none unless some snapshot needs the chunk. */
  readonly lacksBase?: boolean;
}

type AddFinding = (finding: Finding) => void;

const LOOKED_UP_TOGETHER = 256;
/** Plaintext bytes that are read together. */
const READ_TOGETHER = 16 * 1024 * 1024;

/**
 * Verifies the whole repository: every pack from its first byte to its last, every snapshot, and the files of the index. What the packs
 * hold is told by their own directories, so that a damaged index does not make anything else look damaged.
 */
export async function verifyRepository(repository: Repository, options: WorkOptions): Promise<VerifyReport> {
  return readWhole(repository, {
    list: () => repository.listSnapshots({ fresh: true }),
    async read(session, { snapshots, problems }) {
      const verification = new Verification(session, snapshots, options);
      const state = [...session.notes.problems, ...(await stateProblems(repository))];
      for (const { blob, error } of [...problems, ...state]) verification.add({ error, blob });
      const flaw = await repository.environment.indexFlaw?.();
      if (flaw !== undefined) verification.add({ error: flaw });
      await verification.checkAll();
      return verification.report();
    },
    isDoubtful: ({ ok }) => !ok,
  });
}

/** Marks and policies that cannot be read. */
async function stateProblems({ environment }: Repository): Promise<readonly SnapshotProblem[]> {
  const policies = await readPolicies(environment).then(
    () => [],
    (error: unknown) => {
      if (isVecsnapError(error, 'POLICY_DAMAGED', 'REPOSITORY_NEWER'))
        return [{ blob: error.place ?? POLICIES_NAME, error }];
      throw error;
    },
  );
  return [...(await marksProblems(environment)), ...policies];
}

/** Verifies what the given snapshots need, and nothing else. */
export async function verifySnapshots(
  repository: Repository,
  snapshots: readonly Snapshot[],
  options: WorkOptions,
): Promise<VerifyReport> {
  return readWhole(repository, {
    async list() {
      const standing = new Set(await repository.snapshotIds());
      const gone = snapshots.find(({ id }) => !standing.has(id));
      if (gone !== undefined) throw snapshotForgotten(repository, gone.id);
    },
    async read(session) {
      const verification = new Verification(session, snapshots, options);
      await verification.checkReferences(true);
      return verification.report();
    },
    isDoubtful: ({ ok }) => !ok,
  });
}

class Verification {
  readonly #store: ChunkStore;
  readonly #nodes: NodeReader;
  readonly #snapshots: readonly Snapshot[];
  readonly #signal: AbortSignal | undefined;
  readonly #progress: ProgressCounter;
  readonly #findings: Finding[] = [];
  readonly #damaged = new DigestTable();
  /** Aborted with what has failed. */
  readonly #stop = new AbortController();
  #chunks = 0;
  #bytes = 0;

  constructor({ store }: Session, snapshots: readonly Snapshot[], { signal, onProgress }: WorkOptions) {
    this.#store = store;
    this.#nodes = new NodeReader(store);
    this.#snapshots = snapshots;
    this.#signal = signal;
    const bytes = [...store.packs.values()].reduce((sum, size) => sum + size, 0);
    this.#progress = new ProgressCounter('verify', onProgress, { bytes });
  }

  add(finding: Finding): void {
    const { address } = finding;
    if (address !== undefined) {
      if (this.#damaged.has(address)) return;
      this.#damaged.add(address);
    }
    this.#findings.push(finding);
  }

  /** Reads every pack, and walks every manifest meanwhile: what a pack tells is told first all the same. When one fails, so does the other. */
  async checkAll(): Promise<void> {
    const later: Finding[] = [];
    const both = [this.#checkPacks(), this.checkReferences(false, (finding) => later.push(finding))];
    for (const work of both) work.catch((error: unknown) => this.#stop.abort(error)); // The first reason stays.
    await Promise.allSettled(both);
    this.#stop.signal.throwIfAborted();
    for (const finding of later) this.add(finding);
  }

  /** @throws VecsnapError ABORTED, or what something else that is under way failed with. */
  #goOn(): void {
    throwIfAborted(this.#signal);
    this.#stop.signal.throwIfAborted();
  }

  async #checkPacks(): Promise<void> {
    const onChecked = (bytes: number): void => {
      this.#bytes += bytes;
      this.#progress.add(0, bytes);
      this.#goOn();
    };
    for await (const finding of checkPacks(this.#store, onChecked)) this.add(finding);
  }

  /** Walks every manifest; with `read`, also reads every chunk that they reach. */
  async checkReferences(read: boolean, add: AddFinding = (one) => this.add(one)): Promise<void> {
    const entered = new DigestTable();
    const said = new SaidLengths();
    for (const snapshot of this.#snapshots) {
      this.#goOn();
      await this.#checkSize(snapshot, add);
      const chunks = fresh(this.#reach(snapshot, entered, add), said);
      for await (const some of inBatches(chunks, () => 1, LOOKED_UP_TOGETHER)) {
        this.#goOn();
        const locations = await this.#locate(some, add);
        for (const [i, location] of locations.entries())
          if (location !== undefined) said.compare(some[i] as Address, location.length);
        await (read ? this.#readLocated(some, locations) : nextTurn());
      }
    }
    if (said.isDoubtful) await this.#checkLengths(add);
  }

  /** Finds the nodes that say another length of a chunk than it has. */
  async #checkLengths(add: AddFinding): Promise<void> {
    const entered = new DigestTable();
    for (const snapshot of this.#snapshots) {
      for await (const { address, data, lengths } of this.#reach(snapshot, entered)) {
        this.#goOn();
        const locations = await this.#store.locate(data);
        if (locations.some((location, i) => location !== undefined && location.length !== lengths[i]))
          add({ error: wrongLength(), address, snapshot: snapshot.id });
      }
    }
  }

  /** Whether the snapshot says of its manifest, and that of its trees, what they hold. What cannot be read is found elsewhere. */
  async #checkSize(snapshot: Snapshot, add: AddFinding): Promise<void> {
    const address = manifestAddress(snapshot);
    try {
      const manifest = decodeManifest(await this.#nodes.get(address));
      const trees = [manifest.records, manifest.files].filter((tree) => tree !== undefined);
      const roots = await Promise.all(trees.map(({ root }) => new TreeReader(this.#nodes).node(root)));
      const error = flawOf(() => {
        checkSize(snapshot, manifest);
        for (const [i, root] of roots.entries()) checkTotals(root, trees[i] as TreeReference, 'the manifest');
      });
      if (error !== undefined) add({ error, address, snapshot: snapshot.id });
    } catch (error) {
      if (!isVecsnapError(error)) throw error;
    }
  }

  async report(): Promise<VerifyReport> {
    const needs = this.#damaged.size > 0 ? await this.#whoNeeds() : new Map<string, string[]>();
    const isProblem = ({ address, lacksBase }: Finding): boolean =>
      lacksBase !== true || (address !== undefined && needs.has(toHex(address)));
    const problems = this.#findings.filter(isProblem).map(({ error, address, blob, snapshot }): Problem => {
      const snapshots = address === undefined ? [] : (needs.get(toHex(address)) ?? []);
      return {
        code: error.code,
        message: error.message,
        ...(address === undefined ? {} : { address: formatAddress(address, kindIn(error)) }),
        ...(blob === undefined ? {} : { blob }),
        snapshots: snapshots.length === 0 && snapshot !== undefined ? [snapshot] : snapshots,
      };
    });
    const checked = { snapshots: this.#snapshots.length, chunks: this.#chunks, bytes: this.#bytes };
    return { ok: problems.length === 0, problems, checked };
  }

  /** Everything that a snapshot reaches. What cannot be read below a damaged node is left out, and the node is reported. */
  async *#reach(
    snapshot: Snapshot,
    entered: DigestTable,
    add: AddFinding = () => undefined,
  ): AsyncGenerator<Reached> {
    const enter = (node: Address): boolean => entered.addNew(node);
    const note = (error: unknown, node: Address): void => {
      if (!isVecsnapError(error) || error.code === 'ABORTED') throw error;
      add({ error, address: node, snapshot: snapshot.id });
    };
    yield* reachable(this.#nodes, manifestAddress(snapshot), enter, note);
  }

  /** Where chunks stand that snapshots refer to. */
  async #locate(addresses: readonly Address[], add: AddFinding): Promise<readonly (Location | undefined)[]> {
    this.#chunks += addresses.length;
    const locations = await this.#store.locate(addresses);
    for (const [i, location] of locations.entries()) {
      const address = addresses[i] as Address;
      if (location === undefined) add({ error: missing(), address });
      else if (!this.#store.packs.has(location.pack))
        add({ error: packGone(location.pack), address, blob: location.pack });
    }
    return locations;
  }

  /** Reads chunks, not more of them at a time than fit into memory. */
  async #readLocated(
    addresses: readonly Address[],
    locations: readonly (Location | undefined)[],
  ): Promise<void> {
    let some: Address[] = [];
    let bytes = 0;
    for (const [i, location] of locations.entries()) {
      if (location === undefined) continue;
      some.push(addresses[i] as Address);
      bytes += location.length;
      if (bytes < READ_TOGETHER) continue;
      await this.#readChunks(some);
      [some, bytes] = [[], 0];
    }
    if (some.length > 0) await this.#readChunks(some);
  }

  async #readChunks(addresses: readonly Address[]): Promise<void> {
    try {
      const chunks = await this.#store.getMany(addresses);
      const bytes = chunks.reduce((sum, { length }) => sum + length, 0);
      this.#bytes += bytes;
      this.#progress.add(0, bytes);
    } catch (error) {
      if (!isVecsnapError(error)) throw error;
      if (addresses.length === 1) return this.add({ error, address: addresses[0] as Address });
      for (const address of addresses) await this.#readChunks([address]); // One by one, to find which.
    }
  }

  /** For each damaged chunk, the snapshots that reach it. */
  async #whoNeeds(): Promise<Map<string, string[]>> {
    const needs = new Map<string, string[]>();
    for (const snapshot of this.#snapshots) {
      const entered = new DigestTable();
      const reported = new DigestTable();
      for await (const { address: node, data } of this.#reach(snapshot, entered)) {
        for (const address of [node, ...data]) {
          if (!this.#damaged.has(address) || !reported.addNew(address)) continue;
          const key = toHex(address);
          needs.set(key, [...(needs.get(key) ?? []), snapshot.id]);
        }
      }
    }
    return needs;
  }
}

/** Lets whatever else waits have its turn: the threads that check packs wait for more of them. */
async function nextTurn(): Promise<void> {
  await new Promise<void>((resolve) => setTimeout(resolve));
}

function flawOf(check: () => void): VecsnapError | undefined {
  try {
    check();
    return undefined;
  } catch (error) {
    if (isVecsnapError(error)) return error;
    throw error;
  }
}

/** Chunks that nothing has referred to before. */
async function* fresh(nodes: AsyncIterable<Reached>, said: SaidLengths): AsyncGenerator<Address> {
  for await (const { address, data, lengths } of nodes) {
    if (said.note(address, undefined)) yield address;
    for (let i = 0; i < data.length; i++)
      if (said.note(data[i] as Address, lengths[i])) yield data[i] as Address;
  }
}

/** An error about a node names it with a CID of its own codec. */
function kindIn({ place, code }: VecsnapError): 'data' | 'node' {
  return code === 'MANIFEST_DAMAGED' || place?.startsWith('bagb') === true ? 'node' : 'data';
}

function missing(): VecsnapError {
  return new VecsnapError('CHUNK_MISSING', 'A chunk stands in no pack.');
}

function packGone(pack: string): VecsnapError {
  return new VecsnapError('PACK_MISSING', 'A pack that the index names is gone.', { place: pack });
}
