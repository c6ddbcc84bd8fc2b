// The plots of a benchmark as SVG.
import * as Plot from '@observablehq/plot';
import { parseHTML } from 'linkedom';
import { OURS, summaryOf } from './benchmark.mjs';
import { CASES } from './side-by-side.mjs';
import { bytes } from './tables.mjs';

/**
 * @typedef {import('./benchmark.mjs').Benchmark} Benchmark
 * @typedef {import('./benchmark.mjs').Quantity} Quantity
 */

/**
 * One mark of a plot.
 * @typedef {object} Point
 * @property {string} title of the case
 * @property {string} tool
 * @property {number} median
 * @property {number} min
 * @property {number} max
 */

const WIDTH = 860;
const ROW_HEIGHT = 15;
const PROFILE_COLOUR = '#1d4ed8';
const COLOURS = ['#c2410c', '#1d4ed8', '#0f766e', '#7e22ce', '#525252'];
const CREATE_CASES = CASES.filter(({ kind }) => kind === 'create');

/**
 * @param {Benchmark} benchmark
 * @returns {Record<string, string>} SVG by the name of the plot
 */
export function plotsOf(benchmark) {
  return {
    time: byCaseAndTool(benchmark, CASES, 'seconds', {
      label: 'seconds, logarithmic (dot: median, line: from the least to the most)',
      tick: (value) => `${Number(value.toPrecision(2))} s`,
      format: (value) => `${value.toPrecision(2)} s`,
    }),
    stored: byCaseAndTool(benchmark, CREATE_CASES, 'storedBytes', {
      label: 'bytes added to the repository, logarithmic (line: the rows that changed, raw)',
      format: bytes,
      tick: (value) => bytes(value).replace(/\.0+ /, ' '),
      reference: changedBytes(benchmark),
    }),
    memory: byCaseAndTool(benchmark, CASES, 'peakBytes', {
      label: 'largest resident set, logarithmic (dot: median, line: from the least to the most)',
      format: (value) => bytes(value, 0),
    }),
    profile: profilePlot(benchmark),
  };
}

/**
 * @typedef {object} Look
 * @property {string} label of the axis
 * @property {(value: number) => string} format
 * @property {(value: number) => string} [tick] as `format`, for the axis
 * @property {{ title: string, value: number }[]} [reference] one line for each case to compare with
 */

/**
 * @param {Benchmark} benchmark
 * @param {readonly import('./side-by-side.mjs').Case[]} cases
 * @param {Quantity} quantity
 * @param {Look} look
 */
function byCaseAndTool(benchmark, cases, quantity, { label, format, tick = format, reference = [] }) {
  const points = pointsOf(benchmark, cases, quantity);
  const tools = benchmark.tools.map(({ name }) => name);
  const titles = cases
    .map(({ title }) => title)
    .filter((title) => points.some((point) => point.title === title));
  return draw({
    height: titles.length * (tools.length + 1) * ROW_HEIGHT + 70,
    marginLeft: 70,
    marginRight: 170,
    insetRight: 60,
    x: { type: 'log', label, labelAnchor: 'center', grid: true, nice: true, tickFormat: tick, ticks: 6 },
    y: { domain: tools, label: null, tickSize: 0 },
    fy: { domain: titles, label: null, padding: 0.15 },
    color: { domain: tools, range: COLOURS },
    marks: [
      Plot.frame({ stroke: '#e5e5e5' }),
      Plot.tickX(reference, { x: 'value', fy: 'title', stroke: '#737373', strokeWidth: 1.5 }),
      Plot.ruleY(points, { x1: 'min', x2: 'max', y: 'tool', fy: 'title', stroke: 'tool', strokeWidth: 2 }),
      Plot.dot(points, { x: 'median', y: 'tool', fy: 'title', fill: 'tool', r: 4 }),
      labels(points, format, (tool) => tool === OURS),
      labels(points, format, (tool) => tool !== OURS),
    ],
  });
}

/**
 * The medians as text beside their marks; vecsnap's are bold.
 * @param {readonly Point[]} points
 * @param {(value: number) => string} format
 * @param {(tool: string) => boolean} isMeant
 */
function labels(points, format, isMeant) {
  return Plot.text(
    points.filter(({ tool }) => isMeant(tool)),
    {
      x: 'max', // Clear of the line from the least to the most.
      y: 'tool',
      fy: 'title',
      text: (/** @type {Point} */ { median }) => format(median),
      dx: 9,
      textAnchor: 'start',
      fontWeight: isMeant(OURS) ? 'bold' : 'normal',
    },
  );
}

/**
 * @param {Benchmark} benchmark
 * @param {readonly import('./side-by-side.mjs').Case[]} cases
 * @param {Quantity} quantity
 * @returns {Point[]}
 */
function pointsOf(benchmark, cases, quantity) {
  return cases.flatMap(({ name, title }) =>
    benchmark.tools.flatMap(({ name: tool }) => {
      const summary = summaryOf(benchmark, name, tool, quantity);
      // A logarithmic axis has no place for nothing.
      return summary === undefined || summary.min <= 0 ? [] : [{ title, tool, ...summary }];
    }),
  );
}

/** @param {Benchmark} benchmark */
function changedBytes({ steps }) {
  return CREATE_CASES.filter(({ name }) => name !== 'unchanged').map(({ title, step }) => ({
    title,
    value: steps[Number(step)]?.changedBytes ?? 0,
  }));
}

/** @param {Benchmark} benchmark */
function profilePlot({ profile: { stages } }) {
  return draw({
    height: stages.length * 24 + 60,
    marginLeft: 70,
    marginRight: 60,
    x: { label: 'seconds in one thread', labelAnchor: 'center', grid: true },
    y: { domain: stages.map(({ name }) => name), label: null, tickSize: 0 },
    marks: [
      Plot.barX(stages, { x: 'seconds', y: 'name', fill: PROFILE_COLOUR }),
      Plot.text(stages, {
        x: 'seconds',
        y: 'name',
        text: (/** @type {{ seconds: number }} */ stage) => `${stage.seconds.toFixed(3)} s`,
        dx: 5,
        textAnchor: 'start',
      }),
    ],
  });
}

/** @param {Plot.PlotOptions} options @returns {string} */
function draw(options) {
  const { document } = parseHTML('<!doctype html><body></body>');
  const plot = Plot.plot({
    ...options,
    document,
    width: WIDTH,
    style: { background: 'white', color: '#171717' },
  });
  plot.setAttribute('xmlns', 'http://www.w3.org/2000/svg');
  return `${plot.outerHTML.replaceAll('&nbsp;', ' ')}\n`;
}
