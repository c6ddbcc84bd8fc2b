/** The options of a retention policy, which `forget` and `policy set` have, and how a policy is shown. */
import type { Command } from 'commander';
import type { RetentionPolicy } from '../index.js';
import { gather, wholeNumber } from './options.js';

/** What the options give. */
export interface PolicyFlags {
  readonly keepLast?: number;
  readonly keepHourly?: number;
  readonly keepDaily?: number;
  readonly keepWeekly?: number;
  readonly keepMonthly?: number;
  readonly keepYearly?: number;
  readonly keepWithin?: string;
  readonly keepTag?: readonly string[];
  readonly timeZone?: string;
}

/** The rules that take a count, with what help says about them. */
const COUNTS = [
  ['last', 'keep the newest N'],
  ['hourly', 'keep the newest of each of the last N hours that have snapshots'],
  ['daily', 'likewise of days'],
  ['weekly', 'likewise of weeks, from Monday on'],
  ['monthly', 'likewise of months'],
  ['yearly', 'likewise of years'],
] as const;

/** Adds `--keep-last` and the others. */
export function addPolicy(command: Command): Command {
  for (const [name, what] of COUNTS) command.option(`--keep-${name} <N>`, what, wholeNumber(1));
  return command
    .option('--keep-within <DURATION>', 'keep what is no more than this older than the newest: 14d, 1y2m3d4h')
    .option('--keep-tag <TAG>', 'keep what has this tag; may be given several times', gather)
    .option('--time-zone <ZONE>', 'whose hours and days are meant, such as Europe/Berlin (default: UTC)');
}

/** The policy that was given; undefined when no rule of one was. */
export function policyFrom({ keepTag, ...flags }: PolicyFlags): RetentionPolicy | undefined {
  const { keepLast, keepHourly, keepDaily, keepWeekly, keepMonthly, keepYearly, keepWithin, timeZone } =
    flags;
  const counts = { keepLast, keepHourly, keepDaily, keepWeekly, keepMonthly, keepYearly };
  const rules = { ...counts, keepWithin, keepTags: keepTag };
  return Object.values(rules).every((rule) => rule === undefined) ? undefined : { ...rules, timeZone };
}

/** A policy as its options. */
export function policyText(policy: RetentionPolicy): string {
  const { keepTags = [], ...others } = policy;
  const options = Object.entries(others).map(([option, value]) => `${optionText(option)} ${value}`);
  return [...options, ...keepTags.map((tag) => `--keep-tag ${JSON.stringify(tag)}`)].join(' ');
}

function optionText(option: string): string {
  return `--${option.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}
