/** Retention as a pure function: every rule, every combination, and clocks that lie. */
import { decideRetention, type Retained, type RetentionPolicy } from 'vecsnap/gc';
import { describe, expect, it } from 'vitest';
import { HOUR, DAY, at, chain, line, kept, reasonsOf, invalid } from './support/retained.js';

describe('a policy', () => {
  it.each<[string, unknown]>([
    ['is not empty', {}],
    ['has a rule beside the time zone', { timeZone: 'UTC' }],
    ['has a rule beside no tags', { keepTags: [] }],
    ['has a rule that is given', { keepLast: undefined }],
    ['is an object', null],
    ['is no list', [7]],
    ['has no option of another name', { keepLast: 1, keepDayly: 7 }],
    ['has no inherited option', JSON.parse('{"keepLast":1,"__proto__":1}')],
    ['keeps no fewer than one', { keepDaily: 0 }],
    ['keeps no negative number', { keepDaily: 7, keepWeekly: -1 }],
    ['keeps no fraction', { keepYearly: 1.5 }],
    ['keeps no text', { keepLast: '3' }],
    ['keeps a finite number', { keepMonthly: Infinity }],
    ['has a duration', { keepWithin: '' }],
    ['has a duration with units', { keepWithin: '14' }],
    ['has a duration with known units', { keepWithin: '14s' }],
    ['has a duration of whole numbers', { keepWithin: '1.5d' }],
    ['has a duration that is not negative', { keepWithin: '-1d' }],
    ['has a duration that is not nothing', { keepWithin: '0y0d' }],
    ['has each unit once', { keepWithin: '1d2d' }],
    ['has a duration without blanks', { keepWithin: '1d 2h' }],
    ['has a duration as text', { keepWithin: 14 }],
    ['has a time zone that there is', { keepLast: 1, timeZone: 'Europe/Atlantis' }],
    ['has a time zone with a name', { keepLast: 1, timeZone: '+02:00' }],
    ['has tags that are texts', { keepTags: [1] }],
    ['has a list of tags', { keepTags: 'a' }],
    ['has tags that are not empty', { keepTags: ['a', ''] }],
  ])('%s', (_, policy) => {
    expect(() => decideRetention([], policy as RetentionPolicy)).toThrow(invalid);
  });

  it('tells which tag is none', () => {
    expect(() => decideRetention([], { keepTags: ['a', ''] })).toThrow('keepTags does not take ""');
  });
});

describe('each rule', () => {
  const half = Array.from({ length: 400 }, (_, i) =>
    at(Date.UTC(2024, 0, 1) + i * 6 * HOUR, { id: String(i) }),
  );
  const idsAt = (...times: string[]) =>
    times.map((time) => half.find(({ createdAt }) => createdAt === `${time}.000Z`)?.id);

  it('keeps the newest, with its place among them', () => {
    expect(reasonsOf(half.slice(0, 5), { keepLast: 2 })).toEqual({ 3: ['last 2 of 2'], 4: ['last 1 of 2'] });
  });

  it('keeps the newest of each of the last hours, days, weeks, months and years that have any', () => {
    // The last is of 2024-04-09 18:00, a Tuesday.
    expect(kept(half, { keepHourly: 2 })).toEqual(['398', '399']);
    expect(kept(half, { keepDaily: 3 })).toEqual(
      idsAt('2024-04-07T18:00:00', '2024-04-08T18:00:00', '2024-04-09T18:00:00'),
    );
    expect(kept(half, { keepWeekly: 3 })).toEqual(
      idsAt('2024-03-31T18:00:00', '2024-04-07T18:00:00', '2024-04-09T18:00:00'),
    );
    expect(kept(half, { keepMonthly: 3 })).toEqual(
      idsAt('2024-02-29T18:00:00', '2024-03-31T18:00:00', '2024-04-09T18:00:00'),
    );
    expect(kept(half, { keepYearly: 3 })).toEqual(['399']);
    expect(
      reasonsOf(half, { keepDaily: 1, keepWeekly: 1, keepMonthly: 1, keepYearly: 1, keepHourly: 1 }),
    ).toEqual({
      399: [
        'hourly 1 of 1 (2024-04-09 18:00+00:00)',
        'daily 1 of 1 (2024-04-09)',
        'weekly 1 of 1 (2024-W15)',
        'monthly 1 of 1 (2024-04)',
        'yearly 1 of 1 (2024)',
      ],
    });
  });

  it('counts periods that have snapshots, not those that have none', () => {
    const sparse = ['2020-05-01T00:00:00Z', '2022-01-01T00:00:00Z', '2024-03-03T00:00:00Z'].map((time) =>
      at(time),
    );
    expect(kept(sparse, { keepDaily: 2 })).toHaveLength(2);
    expect(kept(sparse, { keepYearly: 3 })).toHaveLength(3);
  });

  it.each([
    ['2024-12-30T00:00:00Z', '2025-W01'],
    ['2024-12-29T23:59:59Z', '2024-W52'],
    ['2021-01-03T23:00:00Z', '2020-W53'],
    ['2021-01-04T00:00:00Z', '2021-W01'],
    ['2023-01-01T12:00:00Z', '2022-W52'],
    ['2026-12-31T12:00:00Z', '2026-W53'],
  ])('knows that %s is in the week %s', (time, week) => {
    expect(Object.values(reasonsOf([at(time)], { keepWeekly: 1 }))).toEqual([[`weekly 1 of 1 (${week})`]]);
  });

  it('keeps within a duration of the newest, its end included', () => {
    const times = [
      '2024-02-28T12:00:00Z',
      '2024-02-29T12:00:00Z',
      '2024-02-29T11:59:59Z',
      '2024-03-31T12:00:00Z',
    ];
    const before = ['2023-11-28', '2023-12-28', '2024-01-28'].map((day) => `${day}T12:00:00Z`); // A month is usual.
    const all = [...before, ...times].map((time) => at(time));
    expect(kept(all, { keepWithin: '1m' })).toEqual(['2024-02-29T12:00:00Z', '2024-03-31T12:00:00Z']);
    expect(kept(all, { keepWithin: '1m24h1d' })).toHaveLength(4);
    expect(kept(all, { keepWithin: '30d' })).toEqual(['2024-03-31T12:00:00Z']);
    expect(kept(all, { keepWithin: '31d' })).toHaveLength(2);
    expect(kept(all, { keepWithin: '1y2m3w4d5h' })).toHaveLength(7);
    expect(kept(all, { keepWithin: '999999y' })).toHaveLength(7);
    expect(reasonsOf(all, { keepWithin: '1h' })).toEqual({ '2024-03-31T12:00:00Z': ['within 1h'] });
  });

  it('looks at the newest and not at now, so that a pause loses nothing', () => {
    const old = [at('2020-01-01T00:00:00Z'), at('2020-01-02T00:00:00Z')];
    expect(kept(old, { keepWithin: '7d' }, Date.UTC(2024, 0, 1))).toHaveLength(2);
  });

  it('keeps tags and pins', () => {
    const all = [
      at('2024-01-01T00:00:00Z', { id: 'a', tags: ['x', 'y'] }),
      at('2024-01-02T00:00:00Z', { id: 'b', tags: ['z'], pinned: true }),
      at('2024-01-03T00:00:00Z', { id: 'c', tags: [] }),
      at('2024-01-04T00:00:00Z', { id: 'd', pinned: false }),
    ];
    expect(reasonsOf(all, { keepTags: ['y', 'nobody', 'z'] })).toEqual({
      a: ['tag y'],
      b: ['pinned', 'tag z'],
    });
    expect(reasonsOf(all, { keepLast: 1 })).toEqual({ b: ['pinned'], d: ['last 1 of 1'] });
  });

  it('never empties a collection', () => {
    const all = [at('2024-01-01T00:00:00Z', { id: 'a' }), at('2024-01-02T00:00:00Z', { id: 'b' })];
    expect(reasonsOf(all, { keepTags: ['x'] })).toEqual({ b: ['the last of its collection'] });
  });

  it('is for each collection on its own, and for some only', () => {
    const all = ['a', 'b', 'c'].flatMap((collection, i) =>
      [0, 1, 2].map((n) => at(Date.UTC(2024, 0, 1 + n, i), { id: `${collection}${n}`, collection })),
    );
    const { keep, forget } = decideRetention(all, (name) =>
      name === 'a' ? { keepLast: 1 } : name === 'b' ? { keepLast: 2 } : undefined,
    );
    expect(keep.map(({ id }) => id)).toEqual(['b2', 'a2', 'b1']);
    expect(forget).toEqual(['a0', 'b0', 'a1']);
  });
});

describe('a time zone', () => {
  const each = (from: string, minutes: number, count: number): Retained[] =>
    Array.from({ length: count }, (_, i) => at(Date.parse(from) + i * minutes * 60_000));

  it('says when a day begins', () => {
    const all = ['2024-05-01T21:59:00Z', '2024-05-01T22:01:00Z'].map((time) => at(time));
    expect(kept(all, { keepDaily: 2 })).toHaveLength(1);
    expect(kept(all, { keepDaily: 2, timeZone: 'Europe/Berlin' })).toHaveLength(2);
    expect(kept(all, { keepMonthly: 2, timeZone: 'Pacific/Kiritimati' })).toHaveLength(1);
  });

  it('has a day of 25 hours when summer time ends, whose two second hours are different', () => {
    const night = each('2024-10-26T22:00:00Z', 30, 50); // From midnight in Berlin on, for 25 hours.
    expect(kept(night, { keepDaily: 5, timeZone: 'Europe/Berlin' })).toHaveLength(1);
    expect(kept(night, { keepHourly: 50, timeZone: 'Europe/Berlin' })).toHaveLength(25);
    const reasons = Object.values(reasonsOf(night, { keepHourly: 50, timeZone: 'Europe/Berlin' })).flat();
    expect(reasons).toContain('hourly 22 of 50 (2024-10-27 02:00+01:00)');
    expect(reasons).toContain('hourly 23 of 50 (2024-10-27 02:00+02:00)');
  });

  it('has a day of 23 hours when it begins', () => {
    const night = each('2024-03-30T23:00:00Z', 30, 46);
    expect(kept(night, { keepDaily: 5, timeZone: 'Europe/Berlin' })).toHaveLength(1);
    expect(kept(night, { keepHourly: 50, timeZone: 'Europe/Berlin' })).toHaveLength(23);
  });

  it('knows clocks that change by half an hour, and at midnight', () => {
    const howe = each('2024-04-06T13:00:00Z', 30, 49); // 24.5 hours from midnight in Lord Howe on.
    expect(kept(howe, { keepDaily: 5, timeZone: 'Australia/Lord_Howe' })).toHaveLength(1);
    const santiago = each('2024-04-07T02:30:00Z', 30, 4); // 23:30, 23:00, 23:30, 00:00.
    expect(kept(santiago, { keepDaily: 5, timeZone: 'America/Santiago' })).toHaveLength(2);
  });

  it('measures days by its clock and hours by the clock of physics', () => {
    const all = ['2024-03-30T11:00:00Z', '2024-03-31T10:00:00Z'].map((time) => at(time)); // Noon and noon.
    const berlin = { timeZone: 'Europe/Berlin' };
    expect(kept(all, { keepWithin: '1d', ...berlin })).toHaveLength(2);
    expect(kept(all, { keepWithin: '23h', ...berlin })).toHaveLength(2);
    expect(kept(all, { keepWithin: '22h', ...berlin })).toHaveLength(1);
    expect(kept([at('2024-03-30T09:59:59Z'), ...all], { keepWithin: '1d', ...berlin })).toHaveLength(2);
    expect(kept(all, { keepWithin: '1d' })).toHaveLength(2);
  });

  it('takes the earlier of two moments that the clock shows twice, or around one that it never shows', () => {
    const berlin = { timeZone: 'Europe/Berlin' };
    const twice = at('2024-10-28T01:30:00Z'); // 02:30; the day before there were two.
    expect(kept([at('2024-10-27T00:30:00Z'), twice], { keepWithin: '1d', ...berlin })).toHaveLength(2);
    expect(kept([at('2024-10-27T00:29:59Z'), twice], { keepWithin: '1d', ...berlin })).toHaveLength(1);
    const never = at('2024-04-01T00:30:00Z'); // 02:30; the day before there was none.
    expect(kept([at('2024-03-31T00:30:00Z'), never], { keepWithin: '1d', ...berlin })).toHaveLength(2);
    expect(kept([at('2024-03-31T00:29:59Z'), never], { keepWithin: '1d', ...berlin })).toHaveLength(1);
  });
});

describe('clocks that lie', () => {
  const now = Date.UTC(2024, 5, 1);
  const days = (count: number, from = now - 20 * DAY): number[] =>
    Array.from({ length: count }, (_, i) => from + i * DAY);

  it('cannot push anything out from the future', () => {
    const real = chain(days(20));
    const future = days(50, now + 1).map((time, i) => at(time, { id: `f${i}`, baseId: 'r19' }));
    const alone = reasonsOf(real, { keepLast: 3, keepDaily: 5, keepWithin: '10d' }, now);
    const all = reasonsOf([...future, ...real], { keepLast: 3, keepDaily: 5, keepWithin: '10d' }, now);
    expect(all).toMatchObject(alone);
    expect(Object.keys(all)).toHaveLength(Object.keys(alone).length + 50);
    expect(all['f0']).toEqual(['dated in the future']);
  });

  it('that stand still date many alike, which do not count', () => {
    const real = chain(days(10));
    const alike = Array.from({ length: 30 }, (_, i) => at(now - 5.5 * DAY + i, { id: `a${i}` }));
    const all = reasonsOf([...real, ...alike], { keepLast: 3, keepDaily: 4 }, now);
    expect(all).toMatchObject(reasonsOf(real, { keepLast: 3, keepDaily: 4 }, now));
    expect(all['a7']).toEqual(['dated like others, as if the clock had stood still']);
  });

  it('are not suspected because collections are dated alike on purpose', () => {
    const nightly = days(10).flatMap((time) =>
      ['a', 'b', 'c'].map((collection, i) => at(time + i, { id: `${collection}${time}`, collection })),
    );
    expect(kept(nightly, { keepLast: 2 }, now)).toHaveLength(6);
  });

  it('that fell back to 1970 make the newest look oldest, but what they continue tells', () => {
    const real = chain(days(10));
    const fallen = Array.from({ length: 5 }, (_, i) =>
      at(30_000 - i * 1000, { id: `b${i}`, baseId: i === 0 ? 'r9' : `b${i - 1}` }),
    );
    const all = reasonsOf([...fallen, ...real], { keepLast: 2 }, now);
    expect(all['b4']).toEqual(['dated against the order in which the snapshots were taken']);
    expect(Object.keys(all).toSorted()).toEqual(['b0', 'b1', 'b2', 'b3', 'b4', 'r8', 'r9']);
  });

  it('that were ahead for a while lose against those after them, whose dates agree', () => {
    const before = chain(days(5));
    const ahead = [1, 2, 3].map((i) =>
      at(now - 2 * DAY + i * 60_000, { id: `x${i}`, baseId: i === 1 ? 'r4' : `x${i - 1}` }),
    );
    const after = days(12, now - 15 * DAY).map((time, i) =>
      at(time, { id: `s${i}`, baseId: i === 0 ? 'x3' : `s${i - 1}` }),
    );
    const all = reasonsOf([...before, ...ahead, ...after], { keepLast: 2, keepDaily: 3 }, now);
    expect(Object.keys(all).toSorted()).toEqual(['s10', 's11', 's9', 'x1', 'x2', 'x3']);
  });

  describe('and are ahead when a snapshot is taken and when it is decided', () => {
    const from = Date.UTC(2024, 0, 1, 2);
    const daily = chain(Array.from({ length: 30 }, (_, i) => from + i * DAY));
    const last = from + 29 * DAY;
    const ahead = (...distances: number[]) =>
      distances.map((days, i) =>
        at(last + days * DAY, { id: `a${i}`, baseId: i === 0 ? 'r29' : `a${i - 1}` }),
      );
    const keptReal = (policy: RetentionPolicy, liars: readonly Retained[], real = daily) => {
      const now = Date.parse(liars.at(-1)?.createdAt ?? '');
      return kept([...real, ...liars], policy, now).filter((id) => id.startsWith('r'));
    };

    it.each([10.1, 13, 40, 366, 20_000])('make nothing older by %d days', (distance) => {
      for (const keepWithin of ['36h', '5d', '14d', '1m', '1y'])
        expect(keptReal({ keepWithin }, ahead(distance))).toEqual(kept(daily, { keepWithin }));
    });

    it('several times do so neither, and what they take meanwhile counts by the time that passes', () => {
      expect(keptReal({ keepWithin: '14d' }, ahead(100, 900, 2000, 2030))).toHaveLength(15);
      expect(keptReal({ keepWithin: '14d' }, ahead(100, 101, 102, 103))).toHaveLength(12);
    });

    it('lose nothing either where a policy has thinned what there was', () => {
      const policy = { keepWithin: '5d', keepWeekly: 4, keepMonthly: 12, keepYearly: 4 };
      let { all } = line(Array.from({ length: 1500 }, (_, i) => ({ isReal: true, time: from + i * DAY })));
      for (let count = 1000; count <= 1500; count += 100) {
        const ids = new Set(kept(all.slice(0, count), policy));
        all = all.filter(({ id }, i) => i >= count || ids.has(id));
      }
      const newest = Date.parse(all.at(-1)?.createdAt as string);
      const liar = at(newest + 200 * DAY, { id: 'a', afterId: all.at(-1)?.id });
      expect(kept([...all, liar], { keepWithin: '5d' })).toEqual(
        expect.arrayContaining(kept(all, { keepWithin: '5d' })),
      );
    });

    it('push nothing out of a collection of which little is known', () => {
      for (let count = 1; count <= 3; count++)
        expect(keptReal({ keepWithin: '14d' }, ahead(366), daily.slice(-count))).toHaveLength(count);
    });

    it('are told from snapshots that are always far apart', () => {
      const monthly = Array.from({ length: 12 }, (_, i) => at(Date.UTC(2024, i, 1), { id: `r${i}` }));
      expect(kept(monthly, { keepWithin: '14d' })).toEqual(['r11']);
      expect(kept(monthly, { keepWithin: '2m' })).toEqual(['r9', 'r10', 'r11']);
      const thrice = monthly.flatMap((one) =>
        [0, 1, 2].map((n) => at(Date.parse(one.createdAt) + n * 60_000, { id: `${one.id}-${n}` })),
      );
      expect(kept(thrice, { keepWithin: '14d' })).toEqual(['r11-0', 'r11-1', 'r11-2']);
      const workdays = daily.filter(({ createdAt }) => new Date(createdAt).getUTCDay() % 6 !== 0);
      expect(kept(workdays, { keepWithin: '7d' })).toHaveLength(6);
    });

    it('are not told from a pause, after which the old ones stay until the new ones are as old', () => {
      const later = Array.from({ length: 20 }, (_, i) => at(last + (100 + i) * DAY, { id: `s${i}` }));
      const keptAfter = (count: number) => kept([...daily, ...later.slice(0, count)], { keepWithin: '14d' });
      expect(keptAfter(5)).toHaveLength(5 + 11);
      expect(keptAfter(20)).toEqual(later.slice(-15).map(({ id }) => id));
    });
  });

  it('of forgers who let snapshots continue each other in circles do no harm', () => {
    const circle = [
      at(now - DAY, { id: 'p', baseId: 'q' }),
      at(now - 2 * DAY, { id: 'q', baseId: 'p' }),
      at(now, { id: 's', baseId: 's' }),
    ];
    expect(decideRetention(circle, { keepLast: 1 }, { now }).keep.length).toBeGreaterThan(0);
    expect(reasonsOf([at('never', { id: 'n' }), ...circle], { keepLast: 9 }, now)['n']).toEqual([
      'has no date that can be read',
    ]);
    const extreme = [at(-8.64e15, { id: 'first' }), at(8.64e15, { id: 'last' })];
    for (const timeZone of ['UTC', 'America/New_York', 'Asia/Tokyo'])
      expect(
        kept(extreme, { keepHourly: 1, keepWeekly: 1, keepYearly: 1, keepWithin: '1y', timeZone }),
      ).toContain('last');
  });

  it('that begin anew date full snapshots before those after which they were taken', () => {
    const boot = Date.UTC(2020, 0, 1);
    const taken = days(10).flatMap((time, i) => [
      { isReal: false, time: boot + 10_000 + ((i * 7) % 10) * 1000 },
      { isReal: true, time },
    ]);
    const { all, real } = line(taken);
    const reasons = reasonsOf(all, { keepLast: 2, keepYearly: 5 }, now);
    const [last, before] = [...real].toReversed() as [string, string];
    expect(reasons[last]).toEqual(['last 1 of 2', 'yearly 1 of 5 (2024)']);
    expect(reasons[before]).toEqual(['last 2 of 2']);
    const others = Object.entries(reasons).filter(([id]) => id !== last && id !== before);
    expect(others).toHaveLength(10);
    for (const [id, why] of others) {
      expect(real.has(id)).toBe(false);
      expect(why).toEqual(['dated against the order in which the snapshots were taken']);
    }
  });

  it('are told by the date in the id of a forgotten snapshot, unless it is itself in the future', () => {
    const { all } = line([
      { isReal: true, time: now - 5 * DAY },
      { isReal: false, time: now - 90 * DAY },
      { isReal: false, time: now - 89 * DAY },
    ]);
    const why = 'dated before a snapshot, forgotten since, after which it was taken';
    const gone = all.slice(1);
    const right = at(now - 80 * DAY, { id: 'right' });
    expect(reasonsOf([right, ...gone], { keepLast: 1 }, now)).toEqual({
      right: ['last 1 of 1'],
      [gone[0]?.id as string]: [why],
      [gone[1]?.id as string]: [why],
    });
    expect(kept([right, ...gone], { keepLast: 1 }, now - 6 * DAY)).toEqual(['right']);
    const inOther = at(now - 5 * DAY, { ...all[0], collection: 'other' });
    expect(kept([inOther, right, ...gone], { keepLast: 1 }, now)).toEqual(['right', inOther.id]);
  });

  it('count neither way where as many hours say one thing as the other', () => {
    const { all } = line([
      { isReal: true, time: now - 5 * DAY },
      { isReal: true, time: now - 3 * DAY },
      { isReal: false, time: now - 4 * DAY },
      { isReal: false, time: now - 4 * DAY + 1000 },
      { isReal: true, time: now - 2 * DAY },
    ]);
    const disorder = ['dated against the order in which the snapshots were taken'];
    expect(Object.values(reasonsOf(all, { keepLast: 2 }, now))).toEqual([
      ['last 1 of 2'],
      disorder,
      disorder,
      disorder,
      ['last 2 of 2'],
    ]);
  });

  it('that contradict each other within an hour count neither way', () => {
    const hour = Math.floor((now - DAY) / HOUR) * HOUR;
    const { all } = line([
      { isReal: true, time: hour },
      { isReal: true, time: hour + 30 * 60_000 },
      { isReal: false, time: hour + 10 * 60_000 },
      { isReal: true, time: hour + 40 * 60_000 },
    ]);
    expect(Object.values(reasonsOf(all, { keepLast: 9 }, now)).map(([why]) => why?.slice(0, 5))).toEqual([
      'last ',
      'dated',
      'dated',
      'last ',
    ]);
  });

  it('is quick for many', () => {
    const many = chain(Array.from({ length: 20_000 }, (_, i) => now - (20_000 - i) * HOUR));
    const policy = { keepHourly: 1000, keepDaily: 500, keepWithin: '1y', timeZone: 'Europe/Berlin' };
    expect(kept(many, policy, now).length).toBeGreaterThan(8760);
  });

  it('do not make a decision about a hundred thousand take for ever', () => {
    const taken = Array.from({ length: 100_000 }, (_, i) => {
      const isReal = i % 3 !== 0;
      return { isReal, time: isReal ? now - (100_000 - i) * HOUR : (i % 50_000) * 60_000 };
    });
    const { all } = line(taken);
    for (const many of [all, all.toReversed()])
      expect(decideRetention(many, { keepLast: 10 }, { now }).keep.length).toBeGreaterThan(30_000);
  });
});
