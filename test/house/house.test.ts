/** The rules of the house: what keeps the chart pure, the shell layered and time behind one door. */
import { expect, test } from 'vitest'
import { codeOf, importsOf, read, runtimeImportsOf, sourcesUnder } from './source.ts'

const LINES_MAX = 600

test('HF-H1 the machines import xstate and each other, and nothing else', () => {
  for (const file of sourcesUnder('machines'))
    for (const target of importsOf(file)) expect(target, file).toMatch(/^(xstate|machines\/[\w-]+\.ts)$/)
})

/** Files and folders that may look at the real clock, each with its reason. */
const realTime: Record<string, string> = {
  'src/clock.ts': 'it is the door',
  'src/testing/onebot-peer.ts': 'a real server for other processes: its time is not the time of the link under test',
  'src/cli/lab/': 'the lab breaks real processes and measures real seconds',
}

const doors = [
  /\bDate\.now\b/,
  /\bnew Date\(\)/,
  /\bMath\.random\b/,
  /\bperformance\.now\b/,
  /\bprocess\.hrtime\b/,
  /(?<![\w.#])(?:globalThis\.)?set(?:Timeout|Interval)\(/,
  /['"](?:node:)?timers/,
]

const readsTime = (file: string): boolean => doors.some((door) => door.test(codeOf(file)))

test('HF-H2 time and dice come in by src/clock.ts alone', () => {
  const files = [...sourcesUnder('src'), ...sourcesUnder('machines')]
  const reading = files.filter(readsTime)
  const excused = Object.keys(realTime)
  expect(reading.filter((file) => !excused.some((path) => file.startsWith(path)))).toEqual([])
  expect(excused.filter((path) => !reading.some((file) => file.startsWith(path)))).toEqual([])
})

test('HF-H3 no file is longer than 600 lines, and none has a name that says nothing', () => {
  for (const file of ['machines', 'src', 'test'].flatMap(sourcesUnder)) {
    expect(read(file).split('\n').length, file).toBeLessThanOrEqual(LINES_MAX)
    const stem = file.split('/').at(-1)!.replace(/\..*$/, '')
    expect(stem, file).not.toMatch(/^(utils?|helpers?|common|types|constants)$|manager/i)
  }
})

/**
 * A file imports only from its own layer and from layers before it. A layer is a file or a folder of src; the longest
 * name that fits a file is its layer. The contract of adapters comes before what serves them: net and transport know
 * what an adapter is, and never which.
 */
const layers = [
  'version',
  'clock',
  'rate',
  'secret',
  'error',
  'guarded',
  'transport/transport',
  'exchange',
  'framing',
  'key-exchange',
  'berth',
  'adapter/adapter',
  'adapter/credential',
  'generation',
  'budget-store',
  'budget',
  'adapter',
  'net',
  'transport',
  'heartbeat',
  'deaf',
  'awake',
  'store',
  'file-store',
  'hand-over',
  'tenure',
  'outbox',
  'session',
  'starts',
  'steps',
  'inspection',
  'inbound',
  'listen',
  'conversation',
  'explain',
  'outage',
  'observe/recorder',
  'options',
  'observe/trace-format',
  'observe/trace-file',
  'observe/shared-trace',
  'telling',
  'fallback',
  'governor',
  'choice',
  'activities',
  'run',
  'runs',
  'keeping',
  'caller',
  'link',
  'lease',
  'etcd',
  'signals',
  'fleet-log',
  'fleet',
  'service',
  'health',
  'diagram',
  'observe',
  'index',
  'testing',
  'doctor',
  'cli',
]

const layerOf = (file: string): string | undefined => {
  const name = file.replace(/^src\//, '').replace(/\.tsx?$/, '')
  return layers.filter((layer) => name === layer || name.startsWith(`${layer}/`)).sort((a, b) => b.length - a.length)[0]
}

const ourImports = sourcesUnder('src').flatMap((from) =>
  importsOf(from)
    .filter((to) => to.startsWith('src/'))
    .map((to) => ({ from, to })),
)

test('HF-H4 every file of src has a layer and imports only from its own or the layers before it', () => {
  expect(sourcesUnder('src').filter((file) => layerOf(file) === undefined)).toEqual([])
  const depth = (file: string) => layers.indexOf(layerOf(file)!)
  expect(ourImports.filter(({ from, to }) => depth(to) > depth(from))).toEqual([])
})

test('HF-H4 the layers in docs/design.md are these, in this order', () => {
  const listed = /\n\n( {4}[\s\S]+?)\n\n## Decisions/.exec(read('docs/design.md'))![1]!
  const named = listed.split('\n').map((line) => line.trim().split(' ', 1)[0]!)
  expect(named.length).toBeGreaterThan(30)
  expect(named).toEqual(layers.filter((layer) => named.includes(layer)))
})

test('HF-H5 an adapter owns no socket, and what carries its frames does not know which adapter it serves', () => {
  const adapters = sourcesUnder('src/adapter')
  const sockets = /^(node:)?(net|tls|http|https|http2|dgram|dns)$|^(ws|undici)$/
  for (const file of adapters) {
    for (const target of importsOf(file)) expect(target, file).not.toMatch(/^src\/(net|transport)\/(?!transport\.ts$)/)
    for (const target of runtimeImportsOf(file)) expect(target, file).not.toMatch(sockets)
  }
  const engine = ['net', 'transport', 'heartbeat', 'outbox', 'conversation', 'activities', 'link']
  const partial = ourImports
    .filter(({ from }) => engine.includes(layerOf(from)!))
    .filter(({ to }) => to.startsWith('src/adapter/') && to !== 'src/adapter/adapter.ts')
  expect(partial).toEqual([])
})

test('HF-H6 nothing of src or machines imports from test', () => {
  for (const file of [...sourcesUnder('src'), ...sourcesUnder('machines')])
    for (const target of importsOf(file)) expect(target, file).not.toMatch(/^test\//)
})
