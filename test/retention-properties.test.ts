/** Retention as a pure function: properties that hold for every line of snapshots, however wrong its clocks. */
import fc from 'fast-check';
import { decideRetention, type Retained, type RetentionPolicy } from 'vecsnap/gc';
import { describe, expect, it } from 'vitest';
import { runs } from './support/arbitraries.js';
import { HOUR, DAY, at, chain, type Taken, line, alone, kept, haveLongGap } from './support/retained.js';

describe('properties', () => {
  const NOW = Date.UTC(2024, 5, 1);
  const count = fc.option(fc.integer({ min: 1, max: 12 }), { nil: undefined });
  const anyPolicy = fc
    .record({
      keepLast: count,
      keepHourly: count,
      keepDaily: count,
      keepWeekly: count,
      keepMonthly: count,
      keepYearly: count,
      keepWithin: fc.option(fc.constantFrom('1d', '36h', '2w', '1m2d', '1y'), { nil: undefined }),
      keepTags: fc.option(fc.constantFrom(['x'], ['x', 'y']), { nil: undefined }),
      timeZone: fc.constantFrom('UTC', 'Europe/Berlin', 'America/New_York', 'Asia/Kathmandu', undefined),
    })
    .filter(({ timeZone: _, ...rules }) => Object.values(rules).some((rule) => rule !== undefined));
  /** Real snapshots: a chain whose dates ascend by minutes to weeks. */
  const anyReal = fc
    .array(fc.integer({ min: 2, max: 20_000 }), { minLength: 1, maxLength: 40 })
    .chain((steps) =>
      fc.tuple(fc.constant(steps), fc.array(fc.constantFrom('', 'x', 'y'), { minLength: 40, maxLength: 40 })),
    )
    .map(([steps, tags]) => {
      let time = NOW;
      const times = steps.map((minutes) => (time -= minutes * 60_000)).toReversed();
      return chain(times).map((one, i) => ({ ...one, tags: tags[i] === '' ? [] : [tags[i] as string] }));
    });
  const keptReal = (all: readonly Retained[], policy: RetentionPolicy): string[] =>
    kept(all, policy, NOW).filter((id) => id.startsWith('r'));

  it('a decision is about each snapshot once, and the same whatever the order of the list', () => {
    fc.assert(
      fc.property(anyReal, anyPolicy, fc.infiniteStream(fc.nat()), (real, policy, order) => {
        const decision = decideRetention(real, policy, { now: NOW });
        const { keep, forget } = decision;
        expect([...keep.map(({ id }) => id), ...forget].toSorted()).toEqual(
          real.map(({ id }) => id).toSorted(),
        );
        expect(keep.every(({ reasons }) => reasons.length > 0)).toBe(true);
        expect(keep.length).toBeGreaterThan(0);
        const ranked = real
          .map((one) => ({ one, rank: order.next().value }))
          .toSorted((a, b) => a.rank - b.rank);
        expect(
          decideRetention(
            ranked.map(({ one }) => one),
            policy,
            { now: NOW },
          ),
        ).toEqual(decision);
      }),
      { numRuns: runs(100) },
    );
  });

  it('keeps what any rule alone keeps, and nothing else', () => {
    fc.assert(
      fc.property(anyReal, anyPolicy, (real, { timeZone, ...rules }) => {
        const single = Object.entries(rules)
          .filter(([, value]) => value !== undefined)
          .flatMap(
            ([option, value]) => decideRetention(real, { [option]: value, timeZone }, { now: NOW }).keep,
          )
          .filter(({ reasons }) => !reasons.includes('the last of its collection'));
        const union = new Set(single.map(({ id }) => id));
        const all = keptReal(real, { ...rules, timeZone });
        if (union.size > 0) expect(all.toSorted()).toEqual([...union].toSorted());
        else expect(all).toHaveLength(1);
      }),
      { numRuns: runs(100) },
    );
  });

  it('once decided, stays decided: what is kept is kept again', () => {
    fc.assert(
      fc.property(anyReal, anyPolicy, (real, policy) => {
        fc.pre(policy.keepWithin === undefined || !haveLongGap(real)); // What is usual changes with what is gone.
        const survivors = real.filter(({ id }) => keptReal(real, policy).includes(id));
        expect(decideRetention(survivors, policy, { now: NOW }).forget).toEqual([]);
      }),
      { numRuns: runs(100) },
    );
  });

  it('where no gap is long, keeps within a duration by the dates alone', () => {
    const anyClose = fc.array(fc.integer({ min: 2, max: 14_000 }), { minLength: 1, maxLength: 40 });
    const anyHours = fc.integer({ min: 1, max: 3000 });
    fc.assert(
      fc.property(anyClose, anyHours, (steps, hours) => {
        let time = NOW;
        const real = chain(steps.map((minutes) => (time -= minutes * 60_000)).toReversed());
        const newest = Date.parse(real.at(-1)?.createdAt as string);
        const near = real.filter(({ createdAt }) => Date.parse(createdAt) >= newest - hours * HOUR);
        expect(kept(real, { keepWithin: `${hours}h` }, NOW)).toEqual(near.map(({ id }) => id));
      }),
      { numRuns: runs(200) },
    );
  });

  it('snapshots of a clock that was ahead, fewer than the real ones, push nothing out of a duration', () => {
    const anyDistances = fc.array(fc.integer({ min: 1, max: 100_000 }), { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(
        fc.integer({ min: 24, max: 1000 }),
        fc.integer({ min: 2, max: 30 }),
        anyDistances,
        anyPolicy,
        fc.constantFrom('1d', '36h', '2w', '1m2d', '1y'),
        fc.nat(1e10),
        (hours, more, distances, policy, keepWithin, later) => {
          const count = distances.length + 1 + more;
          const real = chain(Array.from({ length: count }, (_, i) => NOW - (count - i) * hours * HOUR));
          let time = Date.parse(real.at(-1)?.createdAt as string);
          const longest = 10 * Math.max(hours * HOUR, DAY);
          const liars = distances.map((days, i) =>
            at((time += longest + days * DAY), { id: `a${i}`, baseId: i % 2 === 1 ? `a${i - 1}` : null }),
          );
          const alone = { keepWithin, timeZone: policy.timeZone };
          const without = kept(real, alone);
          for (const one of [alone, { ...policy, keepWithin }])
            expect(kept([...liars, ...real], one, time + later)).toEqual(expect.arrayContaining(without));
        },
      ),
      { numRuns: runs(300) },
    );
  });

  it('snapshots dated in the future, in any number, change nothing for the others', () => {
    const anyFuture = fc.array(fc.integer({ min: 1, max: 1e12 }), { minLength: 1, maxLength: 30 });
    fc.assert(
      fc.property(anyReal, anyFuture, anyPolicy, (real, future, policy) => {
        const liars = future.map((ms, i) =>
          at(NOW + ms, { id: `f${i}`, baseId: i % 2 ? `r${real.length - 1}` : null }),
        );
        expect(keptReal([...liars, ...real], policy)).toEqual(keptReal(real, policy));
        expect(kept([...liars, ...real], policy, NOW).length - keptReal(real, policy).length).toBe(
          liars.length,
        );
      }),
      { numRuns: runs(100) },
    );
  });

  it('snapshots dated alike, whenever, change nothing for the others', () => {
    fc.assert(
      fc.property(
        anyReal,
        fc.nat(1e10),
        fc.integer({ min: 2, max: 30 }),
        anyPolicy,
        (real, ago, many, policy) => {
          const start = NOW - ago - 1000;
          fc.pre(real.every(({ createdAt }) => Math.abs(Date.parse(createdAt) - start) > 1000));
          const liars = Array.from({ length: many }, (_, i) => at(start + i, { id: `a${i}` }));
          expect(keptReal([...liars, ...real], policy)).toEqual(keptReal(real, policy));
          expect(kept([...liars, ...real], policy, NOW).length - keptReal(real, policy).length).toBe(many);
        },
      ),
      { numRuns: runs(100) },
    );
  });

  it('snapshots whose dates contradict what they continue, from a clock that begins anew, lose nothing that is real', () => {
    fc.assert(
      fc.property(
        anyReal,
        fc.nat(1e11),
        fc.array(fc.nat(600), { minLength: 1, maxLength: 20 }),
        anyPolicy,
        (real, ago, seconds, policy) => {
          const hours = new Set(real.map(({ createdAt }) => createdAt.slice(0, 13)));
          fc.pre(hours.size >= 2); // Of one hour against one, neither counts.
          const start = Date.parse(real[0]?.createdAt as string) - ago - 2 * HOUR;
          const top = Math.floor(start / HOUR) * HOUR; // All in one hour.
          const liars = seconds.map((second, i) =>
            at(top + second * 1000 + i * 2, { id: `b${i}`, baseId: `r${real.length - 1}` }),
          );
          expect(keptReal([...liars, ...real], policy)).toEqual(keptReal(real, policy));
          expect(kept([...liars, ...real], policy, NOW).length - keptReal(real, policy).length).toBe(
            liars.length,
          );
        },
      ),
      { numRuns: runs(100) },
    );
  });

  /** Gaps in minutes before real snapshots, and seconds after a start of a clock that is misset. */
  const anyTaking = fc.array(
    fc.oneof(
      fc.record({ gap: fc.oneof(fc.integer({ min: 1, max: 90 }), fc.integer({ min: 1, max: 20_000 })) }),
      fc.record({ second: fc.nat(3599) }),
    ),
    { minLength: 2, maxLength: 50 },
  );
  /** The line of such snapshots; the misset clock begins anew so many hours after the first real one, or before it. */
  function lineOf(taking: readonly ({ gap: number } | { second: number })[], hoursLater: number): Taken[] {
    const gaps = taking.reduce((sum, one) => sum + ('gap' in one ? one.gap : 0), 0);
    let time = NOW - (gaps + 1) * 60_000;
    const start = (Math.floor(time / HOUR) + hoursLater) * HOUR;
    return taking.map((one) =>
      'gap' in one
        ? { isReal: true, time: (time += one.gap * 60_000) }
        : { isReal: false, time: start + one.second * 1000 },
    );
  }
  const hourOf = ({ time }: Taken): number => Math.floor(time / HOUR);
  const keptOf = (all: readonly Retained[], ids: ReadonlySet<string>, policy: RetentionPolicy): string[] =>
    kept(all, policy, NOW).filter((id) => ids.has(id));

  it('full snapshots from a clock that begins anew, in any pattern and number, change nothing for the real ones', () => {
    const anyStart = fc.integer({ min: -10_000, max: -1 });
    fc.assert(
      fc.property(anyTaking, anyStart, anyPolicy, (taking, hoursLater, policy) => {
        const taken = lineOf(taking, hoursLater);
        const last = taken.findLastIndex(({ isReal }) => !isReal);
        const before = taken.slice(0, Math.max(last, 0)).filter(({ isReal }) => isReal);
        fc.pre(new Set(before.map(hourOf)).size >= 2);
        const made = line(taken);
        const misset = new Set(made.all.map(({ id }) => id).filter((id) => !made.real.has(id)));
        expect(keptOf(made.all, made.real, policy)).toEqual(kept(alone(made), policy, NOW));
        expect(keptOf(made.all, misset, policy)).toHaveLength(misset.size);
      }),
      { numRuns: runs(300) },
    );
  });

  it('and lose nothing that is real, whenever the clock begins', () => {
    fc.assert(
      fc.property(
        anyTaking,
        fc.integer({ min: -100, max: 2000 }),
        anyPolicy,
        (taking, hoursLater, policy) => {
          const taken = lineOf(taking, hoursLater).filter(({ time }) => time <= NOW);
          const contradicts = (a: Taken, b: Taken): boolean => a.isReal !== b.isReal && hourOf(a) > hourOf(b);
          fc.pre(taken.some((one, i) => taken.slice(0, i).some((other) => contradicts(other, one))));
          const made = line(taken);
          fc.pre(policy.keepWithin === undefined || !haveLongGap(alone(made)));
          const keptWithAll = keptOf(made.all, made.real, policy);
          expect(kept(alone(made), policy, NOW).filter((id) => !keptWithAll.includes(id))).toEqual([]);
        },
      ),
      { numRuns: runs(1000) },
    );
  });

  it('nor when snapshots after which they were taken were forgotten since', () => {
    const anyStart = fc.integer({ min: -10_000, max: -1 });
    const anyLoss = fc.option(fc.infiniteStream(fc.boolean()), { nil: 'all' });
    fc.assert(
      fc.property(anyTaking, anyStart, anyPolicy, anyLoss, (taking, hoursLater, policy, loss) => {
        const made = line(lineOf(taking, hoursLater));
        const isLost = ({ id }: Retained): boolean =>
          made.real.has(id) && (loss === 'all' || (loss as fc.Stream<boolean>).next().value);
        const left = made.all.filter((one) => !isLost(one));
        const standing = alone(made).filter((one) => left.some(({ id }) => id === one.id));
        fc.pre(policy.keepWithin === undefined || !haveLongGap(standing));
        const keptWithAll = keptOf(left, made.real, policy);
        expect(kept(standing, policy, NOW).filter((id) => !keptWithAll.includes(id))).toEqual([]);
        if (standing.length > 0) return;
        const first = made.all.findIndex(({ id }) => made.real.has(id));
        const contradicted = first < 0 ? [] : made.all.slice(first).filter(({ id }) => !made.real.has(id));
        const ids = new Set(contradicted.map(({ id }) => id));
        expect(keptOf(left, ids, policy)).toHaveLength(ids.size);
      }),
      { numRuns: runs(300) },
    );
  });

  it('whatever snapshots say that they were taken after, each is decided once, and the same whatever the order of the list', () => {
    const anyLinks = fc.array(fc.tuple(fc.nat(30), fc.nat(30), fc.nat(100)), { minLength: 1, maxLength: 30 });
    fc.assert(
      fc.property(anyLinks, fc.boolean(), anyPolicy, (links, hasCircles, policy) => {
        const idOf = (target: number, i: number): string => `s${hasCircles || target < i ? target : 'none'}`;
        const all = links.map(([base, after, hours], i) =>
          at(NOW - hours * HOUR - i, { id: `s${i}`, baseId: idOf(base, i), afterId: idOf(after, i) }),
        );
        const decision = decideRetention(all, policy, { now: NOW });
        const { keep, forget } = decision;
        expect([...keep.map(({ id }) => id), ...forget].toSorted()).toEqual(
          all.map(({ id }) => id).toSorted(),
        );
        expect(keep.length).toBeGreaterThan(0);
        if (!hasCircles) expect(decideRetention(all.toReversed(), policy, { now: NOW })).toEqual(decision);
      }),
      { numRuns: runs(200) },
    );
  });
});
