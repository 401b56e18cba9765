/** Incident 3: messages came in, and what depended on the bot never started. Its statements about dependents. */
import { describe, expect, it, vi } from 'vitest'
import { health } from '../../src/health.ts'
import { portInUse, reconnect, serviceRig } from '../dependent.ts'

describe('what depends on a link', () => {
  it('incident 3.1 is started once, within 100 ms of live, when the socket was lost before the first registration', async () => {
    const { clock, network, http, link, end } = serviceRig({ healthy: false })
    await clock.advance(0)
    network.current!.open()
    network.current!.ready()
    network.current!.lose({ code: 'connection-lost' })
    network.healthy = true
    while (link.status.state !== 'live') await clock.advance(clock.nextInMs!)
    const visited = link.recording.kept.map(({ to }) => to)
    expect(visited.filter((state) => state === 'connecting')).toHaveLength(2)
    expect(visited.indexOf('backoff')).toBeLessThan(visited.indexOf('registered'))
    await clock.advance(100)
    expect(http).toMatchObject({ started: 1, up: 1 })
    await clock.advance(600_000)
    expect(http.started).toBe(1)
    await end()
  })

  it('incident 3.2 is retried when its port is in use twice, and named as what is missing until it runs', async () => {
    const { clock, http, link, served, live, end } = serviceRig({ outcomes: [portInUse(), portInUse()] })
    const checked = health({ links: [link], services: [served], clock })
    await live()
    for (const started of [1, 2]) {
      await clock.advance(0)
      expect(http.started).toBe(started)
      const { ready, state, connection, dependents } = checked.check()
      expect({ ready, state }).toEqual({ ready: false, state: 'live(degraded: http)' })
      expect(connection[0]).toMatchObject({ state: 'live', ready: true, missing: ['http'] })
      expect(dependents[0]).toMatchObject({ name: 'http', state: 'backoff', reason: 'service-failed' })
      expect(dependents[0]!.because).toContain('EADDRINUSE')
      await clock.advance(dependents[0]!.inMs!)
    }
    await clock.advance(0)
    expect(http).toMatchObject({ started: 3, up: 1 })
    expect(checked.check()).toMatchObject({ ready: true, state: 'live' })
    await end()
  })

  it('incident 3.3 is not started a second time by the seventh reconnect, unless that was declared', async () => {
    for (const [whenLost, starts] of [
      ['keep', 1],
      ['stop', 8],
    ] as const) {
      const made = serviceRig({ service: { whenLost } })
      await made.live()
      for (let i = 0; i < 7; i++) await reconnect(made)
      await made.clock.advance(0)
      expect(made.http).toMatchObject({ started: starts, up: 1, mostUp: 1 })
      await made.end()
    }
  })

  it('incident 3.4 is not started when the registration fails, and there is neither live nor a heartbeat', async () => {
    const script = { greeting: [{ op: 'fail', code: 'handshake-refused', why: 'not registered' }] }
    const { clock, network, http, link, served, end } = serviceRig({ script })
    const pinged = vi.spyOn(network, 'pinged')
    await clock.advance(600_000)
    const visited = new Set(link.recording.kept.map(({ to }) => to))
    expect(visited).toContain('handshaking')
    expect(visited).not.toContain('registered')
    expect(visited).not.toContain('live')
    expect(pinged).not.toHaveBeenCalled()
    expect(http.started).toBe(0)
    expect(served.status).toMatchObject({ state: 'waiting', attempt: 1 })
    await end()
  })
})
