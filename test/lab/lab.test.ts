/**
 * Proves the laboratory itself: what it says that the network does, the network does. And the control of the founding
 * incident: what Node alone makes of it, beside what racing makes of it in the same second.
 */
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { beforeEach, expect, test } from 'vitest'
import { addresses, describeInLab, type Lab, type Outcome, startLab } from './lab.ts'
import { connectIn, labFor, median } from './measuring.ts'
import { namespaces } from './namespaces.ts'
import type { Looked } from './programs/lookup.ts'
import { TOO_LATE } from './programs/program.ts'
import type { WsEvent, WsOrder } from './programs/ws-client.ts'

const codesOf = ({ error }: Outcome): (string | undefined)[] => (error?.errors ?? []).map(({ code }) => code)

describeInLab('the laboratory: the wire', () => {
  const held = labFor('dual')

  beforeEach(async () => {
    const calm = { rttMs: 0, loss: 0, blackhole: false }
    const hosts = Object.fromEntries(addresses.v4.map((address) => [address, null]))
    await held.lab.shape({ v4: calm, v6: calm, hosts })
  })

  test('delays by the round trip that was asked for, for each family and host', { retry: 2 }, async () => {
    const { lab } = held
    const [near, far, six] = [lab.addresses.v4[0], lab.addresses.v4[1], lab.addresses.v6[0]]
    await lab.shape({ v4: { rttMs: 20 }, v6: { rttMs: 300 }, hosts: { [far]: { rttMs: 100 } } })
    const measured = async (host: string, rttMs: number, runs: number) => {
      const outcomes = await connectIn(lab, { host, runs })
      const errors = outcomes.map(({ ms }) => ms - rttMs)
      return { host, ok: outcomes.every(({ ok }) => ok), median: median(errors), least: Math.min(...errors) }
    }
    for (const { ok, median, least, host } of await Promise.all([
      measured(near, 20, 30),
      measured(far, 100, 15),
      measured(six, 300, 7),
    ])) {
      expect(ok, host).toBe(true)
      expect(least, host).toBeGreaterThanOrEqual(0)
      expect(median, host).toBeLessThan(3)
    }
  })

  test('loses the share of packets that was asked for', async () => {
    const { lab } = held
    await lab.shape({ v4: { rttMs: 0, loss: 0.3 } })
    await lab.wire()
    const [host] = lab.addresses.v4
    await Promise.all(Array.from({ length: 4 }, () => connectIn(lab, { host, runs: 25, withinMs: 150 })))
    const { carried, dropped } = await lab.wire()
    expect(carried + dropped).toBeGreaterThan(200)
    expect(dropped / (carried + dropped)).toBeGreaterThan(0.2)
    expect(dropped / (carried + dropped)).toBeLessThan(0.4)
  })

  test('changes while connections are open: slower, cut, healed', async () => {
    const { lab } = held
    await lab.shape({ v4: { rttMs: 50 } })
    const client = await lab.start('ws-client', { url: `ws://${lab.addresses.v4[0]}:${lab.server.ports.echo}/` })
    const order = (wanted: WsOrder) => client.send(wanted)
    const next = () => client.next<WsEvent>(5_000)
    const echoMs = async (text: string) => {
      const sentAt = Number(process.hrtime.bigint()) / 1e6
      order({ send: text })
      const { event, text: came, atMs } = await next()
      expect({ event, text: came }).toEqual({ event: 'message', text })
      return atMs - sentAt
    }
    expect((await next()).event).toBe('open')
    expect(await echoMs('near')).toBeLessThan(100)
    await lab.shape({ v4: { rttMs: 250 } })
    const slow = await echoMs('far')
    expect(slow).toBeGreaterThanOrEqual(250)
    expect(slow).toBeLessThan(350)
    await lab.shape({ v4: { rttMs: 20, blackhole: true } })
    order({ send: 'into the dark' })
    await expect(client.next(700)).rejects.toThrow('no line')
    await lab.shape({ v4: { blackhole: false } })
    expect(await next()).toMatchObject({ event: 'message', text: 'into the dark' })
    // A peer that has forgotten the connection says so as soon as it is asked.
    await lab.shape({ v4: { blackhole: true } })
    await lab.server.kill()
    await lab.server.start()
    await lab.shape({ v4: { blackhole: false } })
    order({ send: 'who?' })
    expect(await next()).toMatchObject({ event: 'close', code: 1006 })
    await client.close()
  })

  test('a blackhole is silence, in one direction too; what no route leads to is told at once', async () => {
    const { lab } = held
    const [first, second] = lab.addresses.v4
    await lab.shape({ v4: { rttMs: 10 }, hosts: { [first]: { blackhole: 'down' }, [second]: { blackhole: 'up' } } })
    const codeOf = async (host: string, port: number = lab.server.ports.echo) => {
      const [outcome] = await connectIn(lab, { host, port, withinMs: 600 })
      return outcome?.error?.code
    }
    expect(
      await Promise.all([
        codeOf(first),
        codeOf(second),
        codeOf(lab.addresses.dead[0]),
        codeOf(lab.addresses.dead[2]),
        codeOf(lab.addresses.noHost),
        codeOf(lab.addresses.forbidden),
        codeOf('192.0.2.9', 1),
      ]),
    ).toEqual([TOO_LATE, TOO_LATE, TOO_LATE, TOO_LATE, 'EHOSTUNREACH', 'EACCES', 'ECONNREFUSED'])
  })

  test('sees the sockets of the client, those of its failed attempts included', async () => {
    const { lab } = held
    const [dead] = lab.addresses.dead
    const peersOf = () => lab.sockets().filter(({ peer }) => peer === `${dead}:${lab.server.ports.echo}`)
    const attempt = connectIn(lab, { host: dead, withinMs: 1_000 })
    await expect.poll(() => peersOf().map(({ state }) => state), { timeout: 5_000 }).toEqual(['SYN-SENT'])
    await attempt
    expect(peersOf()).toEqual([])
  })

  test('speaks TLS with good and bad certificates', async () => {
    const { lab } = held
    const { ports } = lab.server
    const tls = async (port: number) => {
      const [outcome] = await connectIn(lab, { kind: 'fetch', host: 'v4.test', port, secure: true })
      return outcome?.status ?? outcome?.error?.cause?.code
    }
    expect(await Promise.all([ports.tls, ports.tlsWrongName, ports.tlsExpired, ports.tlsSelfSigned].map(tls))).toEqual([
      200,
      'ERR_TLS_CERT_ALTNAME_INVALID',
      'CERT_HAS_EXPIRED',
      'DEPTH_ZERO_SELF_SIGNED_CERT',
    ])
  })
})

describeInLab('the laboratory: the founding incident', () => {
  const held = labFor('v6unreach')

  test('without a route an address fails at once, with ENETUNREACH', async () => {
    const [outcome] = await connectIn(held.lab, { host: held.lab.addresses.v6[0] })
    expect(outcome?.error?.code).toBe('ENETUNREACH')
    expect(outcome?.ms).toBeLessThan(50)
  })

  test('v4 at RTT 600, v6 unreachable: Node fails within 350 ms, racing connects', async () => {
    const { lab } = held
    await lab.shape({ v4: { rttMs: 600 } })
    await lab.wire()
    const controls = await connectIn(lab, { runs: 3 })
    for (const outcome of controls) {
      expect(outcome.ok).toBe(false)
      expect(outcome.error).toMatchObject({ name: 'AggregateError', code: 'ETIMEDOUT', message: '' })
      expect(codesOf(outcome)).toEqual(['ETIMEDOUT', 'ENETUNREACH'])
    }
    expect(median(controls.map(({ ms }) => ms))).toBeLessThan(350)
    const { syns } = await lab.wire()
    expect(syns.map(({ address }) => address)).toEqual(Array(3).fill(lab.addresses.v4[0]))
    const [fetched, opened, raced] = await Promise.all([
      connectIn(lab, { kind: 'fetch' }),
      connectIn(lab, { kind: 'ws' }),
      connectIn(lab, { kind: 'race', runs: 3 }),
    ])
    expect([...fetched, ...opened].map(({ ok }) => ok)).toEqual([false, false])
    expect(raced.map(({ ok }) => ok)).toEqual([true, true, true])
    expect(median(raced.map(({ ms }) => ms))).toBeGreaterThanOrEqual(600)
    expect(median(raced.map(({ ms }) => ms))).toBeLessThan(650)
  })
})

describeInLab('the laboratory: v6 blackholed', () => {
  const aFirst = labFor('v6blackhole')
  const aaaaFirst = labFor('v6blackhole-gua')

  test('v4 at RTT 300: with A first Node hangs, with AAAA first it is late; racing connects', async () => {
    const [ula, gua] = [aFirst.lab, aaaaFirst.lab]
    for (const lab of [ula, gua]) await lab.shape({ v4: { rttMs: 300 } })
    const orderIn = async (lab: Lab) => (await lab.run<Looked>('lookup', { queries: [{ name: lab.target }] })).addresses
    expect(await orderIn(ula)).toEqual([ula.addresses.v4[0], ula.addresses.v6[0]])
    expect(await orderIn(gua)).toEqual([gua.addresses.v6[0], gua.addresses.v4[0]])
    const [[hung], [late], [raced]] = await Promise.all([
      connectIn(ula, { withinMs: 5_000 }),
      connectIn(gua, {}),
      connectIn(ula, { kind: 'race' }),
    ])
    expect(hung?.error?.code).toBe(TOO_LATE)
    expect(late?.ok).toBe(true)
    expect(late?.ms).toBeGreaterThanOrEqual(550)
    expect(late?.ms).toBeLessThan(650)
    expect(raced?.ok).toBe(true)
    expect(raced?.ms).toBeLessThan(350)
  })

  test('the good address first and a dead one last, both IPv4: Node hangs as well', async () => {
    const { lab } = aFirst
    const [outcome] = await connectIn(lab, {
      addresses: [lab.addresses.v4[0], lab.addresses.dead[0]],
      withinMs: 1_500,
    })
    expect(outcome?.error?.code).toBe(TOO_LATE)
  })
})

describeInLab('the laboratory: nothing is left', () => {
  const present = () => spawnSync('ip', ['netns', 'list'], { encoding: 'utf8' }).stdout
  const own = `hflab-${process.pid}-`

  test('two run side by side with the same addresses; stopped, they are gone', async () => {
    const [one, other] = await Promise.all([startLab('v4'), startLab('v4')])
    await one.shape({ v4: { blackhole: true } })
    const both = await Promise.all([one, other].map((lab) => connectIn(lab, { withinMs: 500 })))
    expect(both.map(([outcome]) => outcome?.ok)).toEqual([false, true])
    expect(present()).toContain(own)
    // A program that is still running does not keep it.
    await other.start('ws-client', { url: `ws://${other.addresses.v4[0]}:${other.server.ports.stall}/` })
    await Promise.all([one.stop(), other.stop()])
    expect(present()).not.toContain(own)
  })

  test('what a crash has left goes at the next start: namespace, process and files', async () => {
    const left = 'hflab-4194304-1-abcdef-c' // no process can have this number
    const stranger = `stranger-${process.pid}`
    for (const name of [left, stranger]) spawnSync('ip', ['netns', 'add', name])
    mkdirSync(`/etc/netns/${left}`, { recursive: true })
    const process_ = spawn('ip', ['netns', 'exec', left, 'sleep', '60'], { stdio: 'ignore' })
    const ended = new Promise((resolve) => process_.once('exit', (_code, signal) => resolve(signal)))
    await expect.poll(() => spawnSync('ip', ['netns', 'pids', left], { encoding: 'utf8' }).stdout).not.toBe('')
    const lab = await startLab('v4')
    await lab.stop()
    expect(await ended).toBe('SIGKILL')
    expect(present()).not.toContain(left)
    expect(present()).toContain(stranger)
    expect(existsSync(`/etc/netns/${left}`)).toBe(false)
    spawnSync('ip', ['netns', 'delete', stranger])
  })

  test('a wire without traffic costs no processor time', async () => {
    const { wire, remove } = await namespaces('gua')
    const ticks = () => {
      const stat = readFileSync(`/proc/${wire.child.pid}/stat`, 'utf8').split(') ')[1]!.split(' ')
      return Number(stat[11]) + Number(stat[12])
    }
    await sleep(300)
    const before = ticks()
    await sleep(1_000)
    expect(ticks() - before).toBeLessThanOrEqual(1)
    await remove()
  })
})
