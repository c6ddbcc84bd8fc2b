import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 60_000,
    setupFiles: ['test/support/seed.ts'],
    pool: 'forks',
    coverage: { provider: 'v8', include: ['dist/**/*.js'] },
  },
});
