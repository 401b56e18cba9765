import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test, vi } from 'vitest'
import { type Fleet, type FleetChange, fleet } from '../src/fleet.ts'
import { readTraceFile } from '../src/observe/trace.ts'
import { FakeNetwork } from '../src/testing/fake-network.ts'
import { heapClock } from '../src/testing/heap-clock.ts'
import { smallTalk } from './small-talk.ts'

let held: Fleet | undefined
afterEach(() => vi.unstubAllEnvs())

const world = (options = {}) => {
  const clock = heapClock()
  const { transport, lookup } = new FakeNetwork(clock)
  held = fleet(options)
  const add = (id?: string) => held!.add(smallTalk(), { clock, transport, lookup, ...(id === undefined ? {} : { id }) })
  return { clock, held, add }
}

test('links are added, found by id, listed in order, and leave when they have stopped', async () => {
  const { held, add } = world()
  const told: string[] = []
  held.changes$.subscribe({
    next: ({ kind, link }: FleetChange) => told.push(`${kind} ${link.id}`),
    complete: () => told.push('over'),
  })
  const [a, b, c] = [add('a'), add('b'), add('c')]
  expect(held.links).toEqual([a, b, c])
  expect([...held]).toEqual([a, b, c])
  expect(held.get('b')).toBe(b)
  expect(held.get('nobody')).toBeUndefined()
  await held.remove('b', { drainMs: 0 })
  expect(held.get('b')).toBeUndefined()
  await held.remove('nobody')
  await c.stop({ drainMs: 0 })
  expect(held.links).toEqual([a])
  await held.stop({ drainMs: 0 })
  await held.stop()
  expect(a.status.state).toBe('stopped')
  expect(told).toEqual(['added a', 'added b', 'added c', 'removed b', 'removed c', 'removed a', 'over'])
})

test('a second link of the same id is refused while the first is there, and the first is unharmed', async () => {
  const { held, add } = world()
  const first = add('main')
  expect(() => add('main')).toThrow(
    expect.objectContaining({ code: 'bad-option', message: expect.stringContaining('"main" already') }),
  )
  expect(held.links).toEqual([first])
  await held.remove('main', { drainMs: 0 })
  expect(add('main')).not.toBe(first)
  await held.stop({ drainMs: 0 })
})

test('without an id a link is named after its adapter and numbered, and no number comes twice', async () => {
  const { held, add } = world()
  add('small-talk-2')
  const ids = [add(), add(), add()].map(({ id }) => id)
  expect(ids).toEqual(['small-talk-3', 'small-talk-4', 'small-talk-5'])
  await held.remove('small-talk-3', { drainMs: 0 })
  expect(new Set([...held.links.map(({ id }) => id), add().id]).size).toBe(4)
  await held.stop({ drainMs: 0 })
})

test('a fleet that was stopped takes no more, and a wrong link changes nothing', async () => {
  const { held, add } = world()
  expect(() => held.add(undefined as never)).toThrow(expect.objectContaining({ code: 'bad-option' }))
  expect(() => held.add(smallTalk(), { nonsense: 1 } as never)).toThrow(expect.objectContaining({ code: 'bad-option' }))
  expect(held.links).toEqual([])
  await held.stop()
  expect(() => add('late')).toThrow(expect.objectContaining({ code: 'stopped' }))
})

test('a listener of changes$ that throws harms nobody', async () => {
  const { held, add } = world()
  const warned = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
  const told: string[] = []
  held.changes$.subscribe(() => {
    throw new Error('broken listener')
  })
  held.changes$.subscribe(({ kind }) => told.push(kind))
  add('a')
  expect(told).toEqual(['added'])
  expect(warned.mock.calls[0]?.[0]).toContain('broken listener')
  warned.mockRestore()
  await held.stop({ drainMs: 0 })
})

test('a fleet writes a trace by option, by HOLDFAST_TRACE, or not at all', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-fleet-'))
  const [byOption, byEnvironment] = [join(folder, 'a.hf.ndjson'), join(folder, 'b.hf.ndjson')]
  vi.stubEnv('HOLDFAST_TRACE', byEnvironment)
  for (const options of [{ trace: byOption }, {}, { trace: false }]) {
    const { held, add } = world(options)
    add('a')
    await held.stop({ drainMs: 0 })
  }
  for (const file of [byOption, byEnvironment]) {
    const { headers, records } = await readTraceFile(file)
    expect(headers).toHaveLength(1)
    expect(records.at(-1)).toMatchObject({ link: 'a', to: 'stopped' })
  }
  rmSync(folder, { recursive: true })
})

test('a trace that cannot be written is an error by option, and a warning by HOLDFAST_TRACE', async () => {
  const nowhere = '/no/such/folder/x.hf.ndjson'
  expect(() => fleet({ trace: nowhere })).toThrow(expect.objectContaining({ code: 'store-failed' }))
  expect(() => fleet({ trace: 5 } as never)).toThrow(expect.objectContaining({ code: 'bad-option' }))
  expect(() => fleet({ traces: 5 } as never)).toThrow(expect.objectContaining({ code: 'bad-option' }))
  vi.stubEnv('HOLDFAST_TRACE', nowhere)
  const warned = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
  const { held, add } = world()
  add('a')
  expect(warned.mock.calls[0]?.[0]).toContain('HOLDFAST_TRACE')
  warned.mockRestore()
  await held.stop({ drainMs: 0 })
})
