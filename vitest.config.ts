import { availableParallelism } from 'node:os'
import { defineConfig } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

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

/** Tests that put modules of their own in place of others, and so have all modules to themselves. */
const withOwnModules = under(['budget-disk', 'regressions/hints'])

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
  'stall/',
  'doctor/lab',
  'visualizer/live',
  'lab/lab',
  'visualizer/manners',
  'lab/reaching',
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
          exclude: ['**/node_modules/**', ...ofProcesses, ...withOwnModules, ...inRealTime],
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
          maxWorkers: 3,
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
          maxWorkers: 2,
          ...secondAttempt,
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
})
