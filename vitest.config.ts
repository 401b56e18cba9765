import { defineConfig } from 'vitest/config'

/**
 * Tests that live in real time: sockets, processes, a browser, a network. They run one after another, after all others:
 * on a machine that is busy with something else their clocks would measure that.
 */
const inRealTime = [
  'adapter/satori-real',
  'budget-processes',
  'cli/',
  'diagram/browser',
  'diagram/mermaid',
  'docs/',
  'doctor/',
  'keeping/real-',
  'lab/',
  'net/',
  'observe/',
  'package/',
  'peers/',
  'signals',
  'store/processes',
  'store/full-disk',
  'stall/',
  'testing/',
  'transport/',
  'visualizer/',
].map((name) => `test/${name}*.test.ts`)

export default defineConfig({
  test: {
    // One unhandled rejection anywhere fails the run (regression R58): vitest does so by itself.
    testTimeout: 120_000,
    projects: [
      {
        extends: true,
        test: {
          name: 'virtual',
          include: ['test/**/*.test.ts'],
          exclude: ['**/node_modules/**', ...inRealTime],
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          name: 'real',
          include: inRealTime,
          maxWorkers: 1,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
})
