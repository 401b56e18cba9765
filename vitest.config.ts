import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 30_000,
    // One unhandled rejection anywhere fails the run (regression R58): vitest does so by itself.
    reporters: ['default'],
  },
})
