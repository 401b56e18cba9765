import { availableParallelism } from 'node:os'
import { defineConfig } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

const under = (names: string[]) => names.map((name) => `test/${name}*.test.ts`)

/**
 * Tests of real processes, disks and packages: they take as long as those do, mostly waiting, and nothing in them is timed
 * closely, so four run side by side.
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

/** Tests that put modules of their own in place of others, and so have all modules to themselves. */
const withOwnModules = under(['budget-disk', 'regressions/hints'])

/**
 * Tests that measure real time: sockets, a network. They wait for most of theirs, but run after those that keep the machine
 * busy, and no more than three at a time: their clocks would measure that.
 */
const inRealTime = under(['doctor/', 'health/', 'lab/', 'listen/', 'net/', 'stall/', 'testing/', 'transport/'])

/** Tests with a browser, which keeps both cores busy by itself: they come last. */
const drawn = under(['visualizer/'])

/**
 * What looks at real time or real processes may be disturbed by what else the machine does. Such a test has a second attempt,
 * and `npm test` names each that needed it. A test in virtual time has none.
 */
const secondAttempt = { retry: 1, setupFiles: 'test/second-attempt.ts' }

/**
 * Those that take longest, of each kind: they begin first, or at the end one worker would run them while the others have
 * nothing to do. Vitest learns that only from a run before, and a fresh checkout has none.
 */
const longest = [
  'sim/cost',
  'model/mutate',
  'governor.',
  'store/processes',
  'package/',
  'net/classification',
  'docs/fleet-example',
  'replays/',
  'peers/',
  'doctor/lab',
  'lab/lab',
  'lab/reaching',
  'stall/',
  'lab/holding',
  'visualizer/live',
  'visualizer/manners',
  'visualizer/chart',
].map((name) => `/test/${name}`)

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const place = ({ moduleId }: TestSpecification) => {
      const at = longest.findIndex((name) => moduleId.includes(name))
      return at < 0 ? longest.length : at
    }
    return (await super.sort(files)).sort((a, b) => place(a) - place(b))
  }
}

export default defineConfig({
  test: {
    sequence: { sequencer: LongestFirst },
    // One unhandled rejection anywhere fails the run (regression R58): vitest does so by itself.
    testTimeout: 120_000,
    projects: [
      {
        extends: true,
        test: {
          name: 'virtual',
          setupFiles: 'test/seed.ts',
          include: ['test/**/*.test.ts'],
          exclude: ['**/node_modules/**', ...ofProcesses, ...withOwnModules, ...inRealTime, ...drawn],
          // they share nothing but modules, and to load those anew for each file takes a fifth of the time
          isolate: false,
          // unless told, Vitest leaves one core for whoever watches
          maxWorkers: availableParallelism(),
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          name: 'processes',
          include: [...ofProcesses, ...withOwnModules],
          exclude: ['**/node_modules/**'],
          maxWorkers: 4,
          ...secondAttempt,
          sequence: { groupOrder: 1 },
        },
      },
      {
        extends: true,
        test: {
          name: 'real',
          include: inRealTime,
          exclude: ['**/node_modules/**', ...ofProcesses, ...withOwnModules],
          maxWorkers: 3,
          ...secondAttempt,
          sequence: { groupOrder: 2 },
        },
      },
      {
        extends: true,
        test: {
          name: 'drawn',
          include: drawn,
          exclude: ['**/node_modules/**'],
          maxWorkers: 2,
          ...secondAttempt,
          sequence: { groupOrder: 3 },
        },
      },
    ],
  },
})
