/**
 * Property tests use one seed, so that what passes once passes again. `npm run campaign:properties` takes a new seed and
 * many more runs; PROPERTY_SEED and PROPERTY_RUNS set them.
 */
import fc from 'fast-check';

const seed = Number(process.env['PROPERTY_SEED'] ?? 20_261_122);
const runs = process.env['PROPERTY_RUNS'];
fc.configureGlobal({ seed, ...(runs === undefined ? {} : { numRuns: Number(runs) }) });
