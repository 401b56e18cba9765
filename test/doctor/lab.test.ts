/**
 * The founding incident and its relatives, from end to end: the command line inside a network where they are so. What
 * Node's default makes of each is not simulated: it is Node.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Report } from '../../src/doctor/examine.ts'
import { knownOf } from '../../src/doctor/layers.ts'
import { addresses, describeInLab, type Lab, type SetupName, type Shape, startLab } from '../lab/lab.ts'
import { runDoctorIn } from './run.ts'

const labFor = (setup: SetupName, shape: Shape): { readonly lab: Lab } => {
  const held: { lab: Lab } = { lab: undefined as never }
  beforeAll(async () => {
    held.lab = await startLab(setup)
    await held.lab.shape(shape)
  })
  afterAll(() => held.lab?.stop())
  return held
}

const examined = async ({ lab }: { readonly lab: Lab }, url = `ws://${lab.target}:${lab.server.ports.echo}/`) => {
  const { exitCode, out } = await runDoctorIn(lab, ['--json', url])
  const report = JSON.parse(out) as Report
  expect(exitCode).toBe(report.exitCode)
  const { code, en, zh, also } = report.diagnosis
  return { exitCode, code, en, zh, also: also.map((finding) => finding.code), known: knownOf(report.layers) }
}

const near = (ms: number | undefined, expected: number, more = 500) => {
  expect(ms).toBeGreaterThanOrEqual(expected)
  expect(ms).toBeLessThan(expected + more)
}

describeInLab('the founding incident: no route for IPv6, IPv4 at 600 ms', () => {
  const held = labFor('v6unreach', { v4: { rttMs: 600 } })

  test('exit code 1, and the sentence says why curl works and why the default of Node fails', async () => {
    const { exitCode, code, en, zh, also, known } = await examined(held)
    expect([exitCode, code, also]).toEqual([1, 'node-default-fails', ['family-dead']])
    const [v4, v6] = [addresses.v4[0], addresses.v6[0]]
    expect(known.dns?.order?.addresses).toEqual([v4, v6])
    expect(known.tcp?.paths).toMatchObject([
      { address: v4, ok: true },
      { address: v6, ok: false, code: 'ENETUNREACH' },
    ])
    near(known.tcp?.paths[0]?.ms, 600)
    expect(known.dialers?.node).toMatchObject({ ok: false, code: 'ETIMEDOUT', attemptMs: 250 })
    expect(known.dialers?.node.attempts.map((attempt) => attempt.code)).toEqual(['ETIMEDOUT', 'ENETUNREACH'])
    expect(known.dialers?.node.ms).toBeLessThan(590)
    expect(known.dialers?.holdfast).toMatchObject({ ok: true, address: v4 })
    near(known.dialers?.holdfast.ms, 600)
    expect(known.heartbeats?.roundTripsMs).toHaveLength(3)
    for (const ms of known.heartbeats?.roundTripsMs ?? []) near(ms, 600)
    expect(en).toMatch(
      new RegExp(
        "^curl works but Node's default would fail here, because Node tries one address after the other and destroys " +
          `each attempt but the last after 250 ms: ${v4}, which answers after 6\\d\\d ms, is given up; ${v6} cannot be ` +
          `reached \\(ENETUNREACH\\)\\. Measured: Node failed after [2-5]\\d\\d ms \\(ETIMEDOUT ${v4}, ENETUNREACH ${v6}\\)`,
      ),
    )
    expect(zh).toContain('curl 可以连接，但 Node 的默认行为在这里会失败')
  })

  test('with IPv4 at 100 ms the same network is a blemish only, and Node gets through', async () => {
    await held.lab.shape({ v4: { rttMs: 100 } })
    const { exitCode, code, known } = await examined(held)
    expect([exitCode, code, known.dialers?.node.ok]).toEqual([1, 'family-dead', true])
  })
})

describeInLab('IPv6 is a blackhole and comes last, IPv4 at 300 ms', () => {
  const held = labFor('v6blackhole', { v4: { rttMs: 300 } })

  test('Node hangs on an address that never answers', async () => {
    const { exitCode, code, en, known } = await examined(held)
    expect([exitCode, code]).toEqual([1, 'node-default-fails'])
    expect(known.dialers?.node).toMatchObject({ ok: false, code: 'no-answer' })
    near(known.dialers?.holdfast.ms, 300)
    expect(en).toContain("curl works but Node's default would hang here")
    expect(en).toContain(`${addresses.v6[0]}, which never answers, comes last and is waited for without a limit`)
  })
})

describeInLab('two addresses of IPv4 at 300 ms', () => {
  const held = labFor('multi4', { v4: { rttMs: 300 } })

  test('Node gives the first one up, and is late', async () => {
    const { exitCode, code, en, known } = await examined(held)
    expect([exitCode, code]).toEqual([1, 'node-default-slow'])
    near(known.dialers?.node.ms, 550)
    near(known.dialers?.holdfast.ms, 300)
    expect(en).toMatch(/which answers after 3\d\d ms, is given up/)
  })
})

describeInLab('the question for AAAA is never answered', () => {
  const held = labFor('noaaaa-answer', { v4: { rttMs: 20 } })

  test('Node waits for it, holdfast does not', async () => {
    const { exitCode, code, en, also, known } = await examined(held)
    expect([exitCode, code, also]).toEqual([1, 'node-default-fails', ['dns-partial', 'dns-slow']])
    expect(known.dns).toMatchObject({ a: { code: null }, aaaa: { code: 'no-answer' }, order: { code: 'no-answer' } })
    near(known.dialers?.holdfast.ms, 300)
    expect(en).toContain('Node waits until the DNS has answered for both families, and AAAA was not answered')
  }, 40_000)
})

describeInLab('a network that is well, and one where nothing answers', () => {
  const held = labFor('dual', { v4: { rttMs: 20 }, v6: { rttMs: 20 } })

  test('exit code 0', async () => {
    const { exitCode, code, known } = await examined(held)
    expect([exitCode, code]).toEqual([0, 'well'])
    expect(known.tcp?.paths.map(({ family, ok }) => [family, ok])).toEqual([
      [6, true],
      [4, true],
    ])
  })

  test('TLS by name: the good certificate ends soon, the bad ones are named', async () => {
    const { lab } = held
    const { tls, tlsExpired, tlsWrongName, tlsSelfSigned } = lab.server.ports
    const codes = []
    for (const port of [tls, tlsExpired, tlsWrongName, tlsSelfSigned]) {
      const { exitCode, code } = await examined(held, `wss://${lab.target}:${port}/`)
      codes.push([exitCode, code])
    }
    expect(codes).toEqual([
      [1, 'certificate-expiring'],
      [2, 'tls-expired'],
      [2, 'tls-wrong-host'],
      [2, 'tls-self-signed'],
    ])
  })

  test('every address is dead', async () => {
    const { exitCode, code, known } = await examined(held, 'ws://allbh.test:8080/')
    expect([exitCode, code]).toEqual([2, 'tcp-unanswered'])
    expect(known.tcp?.paths.map((path) => path.code)).toEqual(Array(4).fill('no-answer'))
  })
})
