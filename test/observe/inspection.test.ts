/** XState's own inspection is attached while somebody is subscribed to it, and to nothing otherwise. */
import { beforeEach, expect, test, vi } from 'vitest'
import { xstateInspection } from '../../src/inspection.ts'
import { service } from '../../src/service.ts'
import { gatewayRig } from '../gateway.ts'
import { rig } from '../small-talk.ts'

/** Everybody who asked XState to be told of everything. */
const inspectors = vi.hoisted(() => ({ count: 0, present: 0, actors: 0 }))

vi.mock('xstate', async (original) => {
  const xstate = await original<typeof import('xstate')>()
  const createActor = (logic: never, options: { inspect?: unknown }) => {
    inspectors.actors++
    if (options.inspect) inspectors.count++
    const actor = xstate.createActor(logic, options as never)
    const { inspect } = actor.system
    actor.system.inspect = (observer) => {
      inspectors.count++
      inspectors.present++
      const { unsubscribe } = inspect(observer)
      return {
        unsubscribe: () => {
          inspectors.present--
          unsubscribe()
        },
      }
    }
    return actor
  }
  return { ...xstate, createActor }
})

beforeEach(() => Object.assign(inspectors, { count: 0, present: 0, actors: 0 }))

test('a link and a service keep their record without it, and each step has its event', async () => {
  const { link, clock, network, live, end } = rig()
  const dependent = service([link], { name: 'web', start: () => undefined, clock })
  await live()
  network.current!.lose({ code: 'connection-lost' })
  await clock.advance(5_000)
  expect(link.recording.kept.map(({ event, to }) => `${event} → ${to}`)).toEqual([
    'endpoint.resolved → connecting',
    'transport.opened → handshaking',
    'peer.welcomed → registered',
    'replay.completed → live',
    'transport.lost → backoff',
    'after backoffDelay → resolving',
    'endpoint.resolved → connecting',
    'transport.opened → handshaking',
    'peer.welcomed → registered',
    'replay.completed → live',
  ])
  // nothing to wait for: legal, counted, and no step
  link.retry()
  expect(link.stats.eventsIgnored).toBe(1)
  await dependent.stop()
  await end()
  expect(inspectors.actors).toBeGreaterThanOrEqual(3)
  expect(inspectors.count).toBe(0)
})

test('it is attached while somebody is subscribed, to each chart that the link has meanwhile', async () => {
  const { link, clock, network, live, end } = rig()
  await live()
  const told: string[] = []
  const subscription = xstateInspection(link).subscribe(({ type, event, _transitions }) => {
    const [arrow] = (_transitions ?? []) as { source: { id: string } }[]
    const name = (event as { type: string } | undefined)?.type
    if (type === '@xstate.microstep') told.push(`${name} in ${arrow?.source.id}`)
  })
  expect(inspectors.present).toBe(1)
  network.current!.lose({ code: 'connection-lost' })
  // of this one no record tells: the state does not name it
  link.resume()
  await clock.advance(5_000)
  expect(told.slice(0, 3)).toEqual([
    'transport.lost in link.attached',
    'operator.resume in undefined',
    'xstate.after.backoffDelay.link.backoff in link.backoff',
  ])
  expect(told.at(-1)).toBe('replay.completed in link.attached.session.registered')
  const before = told.length
  subscription.unsubscribe()
  expect(inspectors.present).toBe(0)
  network.current!.lose({ code: 'connection-lost' })
  await clock.advance(5_000)
  expect(told).toHaveLength(before)
  await end()
})

test('while a link moves both of its charts are told of, and it completes with the link', async () => {
  const { link, clock, end } = gatewayRig({ overlap: true })
  let isComplete = false
  const charts = new Set<unknown>()
  xstateInspection(link).subscribe({
    next: ({ rootId }) => charts.add(rootId),
    complete: () => {
      isComplete = true
    },
  })
  await clock.advance(100)
  expect(charts.size).toBe(1)
  link.replace()
  await clock.advance(5_000)
  expect(charts.size).toBe(2)
  await end()
  expect(isComplete).toBe(true)
  expect(inspectors.present).toBe(0)
})

test('a listener that throws harms nobody, and what is no link is refused', async () => {
  const { link, live, end } = rig()
  const warned = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
  xstateInspection(link).subscribe(() => {
    throw new Error('mine')
  })
  await live()
  expect(link.status.state).toBe('live')
  expect(link.stats.listenerErrors).toBeGreaterThan(0)
  expect(String(warned.mock.calls[0]?.[0])).toContain('xstateInspection()')
  warned.mockRestore()
  expect(() => xstateInspection({})).toThrow('xstateInspection() got an object; it wants what connect() gave.')
  await end()
})
