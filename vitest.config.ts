import { defineConfig } from 'vitest/config'

const under = (names: string[]) => names.map((name) => `test/${name}*.test.ts`)

/**
 * Tests of real processes, disks and packages: they take as long as those do, mostly waiting, and nothing in them is timed
 * closely, so three run side by side.
 */
const ofProcesses = under([
  'adapter/satori-real',
  'budget-processes',
  'cli/',
  'diagram/browser',
  'diagram/mermaid',
  'docs/',
  'keeping/real-',
  'lease/etcd',
  'lease/nats',
  'net/classification',
  'observe/',
  'package/',
  'peers/',
  'replays/',
  'signals',
  'store/full-disk',
  'store/processes',
])

/**
 * Tests that measure real time: sockets, a network, a page. They run after all others and no more than two at a time: on a
 * machine that is busy with something else their clocks would measure that.
 */
const inRealTime = under([
  'doctor/',
  'health/',
  'lab/',
  'listen/',
  'net/',
  'stall/',
  'testing/',
  'transport/',
  'visualizer/',
])

/**
 * What looks at real time or real processes may be disturbed by what else the machine does. Such a test has a second attempt,
 * and `npm test` names each that needed it. A test in virtual time has none.
 */
const SECOND_ATTEMPT = 1

export default defineConfig({
  test: {
    // One unhandled rejection anywhere fails the run (regression R58): vitest does so by itself.
    testTimeout: 120_000,
    projects: [
      {
        extends: true,
        test: {
          name: 'virtual',
          setupFiles: 'test/seed.ts',
          include: ['test/**/*.test.ts'],
          exclude: ['**/node_modules/**', ...ofProcesses, ...inRealTime],
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          name: 'processes',
          include: ofProcesses,
          exclude: ['**/node_modules/**'],
          maxWorkers: 3,
          retry: SECOND_ATTEMPT,
          sequence: { groupOrder: 1 },
        },
      },
      {
        extends: true,
        test: {
          name: 'real',
          include: inRealTime,
          exclude: ['**/node_modules/**', ...ofProcesses],
          maxWorkers: 2,
          retry: SECOND_ATTEMPT,
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
})
