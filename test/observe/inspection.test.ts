/** What watching costs whoever is not watched: XState's own inspection is attached to nothing. */
import { beforeEach, expect, test, vi } from 'vitest'
import { service } from '../../src/service.ts'
import { rig } from '../small-talk.ts'

/** Everybody who asked XState to be told of everything. */
const inspectors = vi.hoisted(() => ({ count: 0, actors: 0 }))

vi.mock('xstate', async (original) => {
  const xstate = await original<typeof import('xstate')>()
  const createActor = (logic: never, options: { inspect?: unknown }) => {
    inspectors.actors++
    if (options.inspect) inspectors.count++
    const actor = xstate.createActor(logic, options as never)
    const { inspect } = actor.system
    actor.system.inspect = (observer) => {
      inspectors.count++
      return inspect(observer)
    }
    return actor
  }
  return { ...xstate, createActor }
})

beforeEach(() => Object.assign(inspectors, { count: 0, actors: 0 }))

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
