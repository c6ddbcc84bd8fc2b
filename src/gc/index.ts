/** Reclaiming what no snapshot needs: retention, mark, plan, sweep. */
export * from './mark.js';
export * from './plan.js';
export * from './policy.js';
export * from './price.js';
export * from './retention.js';
export * from './sweep.js';
export * from './live.js';
