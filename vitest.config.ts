import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 60_000,
    setupFiles: ['test/support/seed.ts', 'test/support/certificates.ts'],
    pool: 'forks',
    maxWorkers: availableParallelism(), // Vitest would leave one processor to itself: half of them, where there are two.
    execArgv: ['--max-semi-space-size=64'], // Tests make much that is soon let go of: it saves a tenth of their time.
    coverage: { provider: 'v8', include: ['dist/**/*.js'] },
  },
});
