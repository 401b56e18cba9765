/**
 * The acceptance statements of the network layer, 11 to 17: an open link on a network that goes wrong, by their numbers.
 * Ten links of ours at once, each as if it were alone, and beside them what ws and undici make of the same. What needs no
 * network of its own (10, 14, 16) is in test/transport and test/net.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { describeInLab, type JsonProcess, type Lab, type Outcome } from './lab.ts'
import { labFor, take, takeAll } from './measuring.ts'
import type { Held, HoldArgument } from './programs/hold.ts'
import type { PollsArgument } from './programs/polls.ts'
import { monotonicMs } from './programs/program.ts'
import type { WsArgument, WsEvent } from './programs/ws-client.ts'

const LINKS = 10
/** The machine may be busy with something else for a moment; a number that does not hold does not hold three times. */
const patient = { retry: 2 }

/** Probed after 5 s of silence, and given up so long after the probe: an unanswered one, and the grace. */
const givenUpAfter = (answerMs: number, graceMs: number): NonNullable<HoldArgument['options']> => ({
  heartbeat: { quietMs: 5_000, answerMinMs: answerMs, answerMaxMs: answerMs },
  deadlines: { graceMs },
})
const after5s = givenUpAfter(3_000, 2_000)
const after10s = givenUpAfter(8_000, 2_000)

const holdIn = (lab: Lab, argument: HoldArgument): Promise<JsonProcess> =>
  lab.start('hold', { links: LINKS, ...argument })

const wsIn = (lab: Lab, argument: WsArgument): Promise<JsonProcess> => lab.start('ws-client', argument)

/** Reads on until so many lines are as wanted: all lines until then. */
const until = async (program: JsonProcess, count: number, isWanted: (line: Held) => boolean): Promise<Held[]> => {
  const read: Held[] = []
  while (read.filter(isWanted).length < count) read.push(...(await take<Held>(program, 1)))
  return read
}

const isLive = ({ to }: Held) => to === 'live'
const isLost = ({ to }: Held) => to === 'backoff'

/** Ends a program: what it has told that nobody has read. */
const restOf = async <T>(program: JsonProcess): Promise<T[]> => {
  await program.close()
  return program.rest<T>()
}

describeInLab('network 6.6, an open link', () => {
  const held = labFor('v4')
  const frozen = labFor('v4')

  /** Tests that run side by side have each an address of the server to themselves. */
  const urlOf = (lab: Lab, host: string, scheme = 'ws', port: number = lab.server.ports.echo) =>
    `${scheme}://${host}:${port}/`

  test.concurrent(
    'network 6.6.12 cut both ways, probed after 5 s, for 5 s: dead in 5 to 10.2 s, closed within 50 ms; ws notices nothing',
    patient,
    async () => {
      const { lab } = held
      const host = '192.0.2.12'
      const ws = await wsIn(lab, { url: urlOf(lab, host) })
      const links = await holdIn(lab, { url: urlOf(lab, host), everyMs: 500, options: after5s })
      await until(links, LINKS, isLive)
      const cutAt = monotonicMs()
      await lab.shape({ hosts: { [host]: { blackhole: true } } })
      const told = await until(links, LINKS, isLost)
      told.push(...(await restOf<Held>(links)))
      await lab.shape({ hosts: { [host]: null } })
      const lost = told.filter(isLost)
      expect(new Set(lost.map(({ link }) => link)).size).toBe(LINKS)
      const closed = told.filter(({ event }) => event === 'closed')
      for (const [index, { atMs, reason }] of lost.entries()) {
        expect(reason).toBe('heartbeat-timeout')
        expect(atMs - cutAt).toBeGreaterThanOrEqual(5_000)
        expect(atMs - cutAt).toBeLessThanOrEqual(10_200)
        expect(closed[index]!.atMs - atMs).toBeLessThanOrEqual(50)
      }
      expect((await restOf<WsEvent>(ws)).map(({ event }) => event)).toEqual(['open'])
    },
  )

  test.concurrent(
    'network 6.6.12 cut for 5 s, given up after 10 s: no link is lost, and no message',
    patient,
    async () => {
      const { lab } = held
      const host = '192.0.2.13'
      const links = await holdIn(lab, { url: urlOf(lab, host), options: after10s })
      await until(links, LINKS, isLive)
      await lab.shape({ hosts: { [host]: { blackhole: true } } })
      for (let second = 0; second < 5; second++) {
        links.send({ say: `at ${second} s` })
        await sleep(1_000)
      }
      await lab.shape({ hosts: { [host]: null } })
      const told = await until(links, 5 * LINKS, ({ event }) => event === 'receipt')
      told.push(...(await restOf<Held>(links)))
      expect(new Set(told.map(({ event, fate }) => fate ?? event))).toEqual(new Set(['delivered']))
    },
  )

  test.concurrent(
    'network 6.6.17 our own stop on a half-open socket takes 3.0 to 3.1 s; ws still closes after 5 s',
    patient,
    async () => {
      const { lab } = held
      const host = '192.0.2.17'
      const ws = await wsIn(lab, { url: urlOf(lab, host) })
      const links = await holdIn(lab, { url: urlOf(lab, host) })
      await Promise.all([until(links, LINKS, isLive), ws.next()])
      await lab.shape({ hosts: { [host]: { blackhole: true } } })
      links.send({ stop: true })
      ws.send({ close: 1000 })
      const told = await until(links, LINKS, ({ event }) => event === 'stopped')
      await links.close()
      for (const { tookMs = Number.NaN } of told.filter(({ event }) => event === 'stopped')) {
        expect(tookMs).toBeGreaterThanOrEqual(2_995)
        expect(tookMs).toBeLessThanOrEqual(3_100)
      }
      await sleep(2_000)
      expect(await restOf<WsEvent>(ws)).toEqual([])
      await lab.shape({ hosts: { [host]: null } })
    },
  )

  test.concurrent(
    'network 6.6.13 a frozen peer: 4 s are ridden out for 10 s, and 5 s end it within 10.2 s; TCP keepalive notices nothing',
    patient,
    async () => {
      const { lab } = frozen
      const url = urlOf(lab, lab.addresses.v4[0])
      const [calm, hasty, ws] = await Promise.all([
        holdIn(lab, { url, everyMs: 200, options: after10s }),
        holdIn(lab, { url, everyMs: 200, options: after5s }),
        wsIn(lab, { url, keepAliveMs: 2_000 }),
      ])
      await Promise.all([until(calm, LINKS, isLive), until(hasty, LINKS, isLive), ws.next()])
      lab.server.freeze()
      await sleep(4_000)
      lab.server.thaw()
      await sleep(500)
      expect(await restOf<Held>(calm)).toEqual([])
      const frozenAt = monotonicMs()
      lab.server.freeze()
      const lost = (await until(hasty, LINKS, isLost)).filter(isLost)
      await hasty.close()
      expect(Math.max(...lost.map(({ atMs }) => atMs)) - frozenAt).toBeLessThanOrEqual(10_200)
      expect(Math.min(...lost.map(({ atMs }) => atMs)) - frozenAt).toBeGreaterThan(0)
      await expect(ws.next(100)).rejects.toThrow('no line')
      lab.server.thaw()
      ws.send({ ping: true })
      expect(await ws.next<WsEvent>()).toMatchObject({ event: 'pong' })
      await ws.close()
    },
  )

  test.concurrent(
    'network 6.6.11 Retry-After is kept to: 7 s after 429, 3 s after 503; 401 is not tried again, 403 once',
    patient,
    async () => {
      const { lab } = held
      const { status401, status403, status429, status503 } = lab.server.ports
      const answered = (port: number) => holdIn(lab, { url: urlOf(lab, '192.0.2.11', 'ws', port) })
      const [by401, by403, by429, by503] = await Promise.all([status401, status403, status429, status503].map(answered))
      for (const [links, askedMs] of [
        [by503!, 3_000],
        [by429!, 7_000],
      ] as const) {
        const told = await until(links, 2 * LINKS, isLost)
        for (let link = 0; link < LINKS; link++) {
          const own = told.filter((line) => line.link === link)
          const refusedAt = own.findIndex(isLost)
          const dialedAgain = own.slice(refusedAt).find(({ to }) => to === 'connecting')!
          expect(own[refusedAt]).toMatchObject({ reason: 'throttled', retryAfterMs: askedMs })
          expect(dialedAgain.atMs - own[refusedAt]!.atMs).toBeGreaterThanOrEqual(askedMs)
          expect(dialedAgain.atMs - own[refusedAt]!.atMs).toBeLessThanOrEqual(1.2 * askedMs + 200)
        }
        await links.close()
      }
      for (const [links, reason, dials] of [
        [by401!, 'upgrade-unauthorized', 1],
        [by403!, 'upgrade-forbidden', 2],
      ] as const) {
        const told = await restOf<Held>(links)
        const parked = told.filter(({ to }) => to === 'parked')
        expect(parked.map((line) => line.reason)).toEqual(Array(LINKS).fill(reason))
        expect(told.filter(({ to }) => to === 'connecting')).toHaveLength(dials * LINKS)
      }
    },
  )

  test.concurrent(
    'network 6.6.15 80 polls of a server that closes idle connections after 1 s, at 200 ms: none fails; undici loses many',
    patient,
    async () => {
      const { lab } = held
      const host = '192.0.2.15'
      await lab.shape({ hosts: { [host]: { rttMs: 200 } } })
      const polls = async (via: PollsArgument['via']) => {
        // around our own patience with an idle socket, and around the server's
        const pausesMs = [300, 400, 490, 510, 700, 820, 860, 900, 940, 980]
        const url = urlOf(lab, host, 'http', lab.server.ports.stale)
        return takeAll<Outcome>(await lab.start('polls', { via, url, pausesMs, polls: 8 } satisfies PollsArgument), 80)
      }
      const [ours, undici] = await Promise.all([polls('ours'), polls('undici')])
      expect(ours.filter(({ ok }) => !ok)).toEqual([])
      const lost = undici.filter(({ ok }) => !ok)
      expect(lost.length).toBeGreaterThanOrEqual(8)
      expect(new Set(lost.map(({ error }) => error?.code))).toEqual(new Set(['UND_ERR_SOCKET']))
    },
  )
})
