/** docs/doctor.md: what it quotes is what is printed but for the times, and its tables are complete. */
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Numbers } from '../../scripts/numbers.ts'
import { blemishes } from '../../src/doctor/blemishes.ts'
import { failures } from '../../src/doctor/failures.ts'
import { layerNames } from '../../src/doctor/layers.ts'
import { titleOf } from '../../src/doctor/tell.ts'
import { type OnebotPeer, startOnebotPeer } from '../../src/testing/onebot-peer.ts'
import type { Ran } from '../doctor/ran.ts'
import { layersWith } from '../doctor/reports.ts'
import { runDoctor, runDoctorIn } from '../doctor/run.ts'
import { describeInLab, type Lab, startLab } from '../lab/lab.ts'
import { refusingPort } from '../lab/loopback.ts'

const page = readFileSync('docs/doctor.md', 'utf8')

/** The port that stands in the examples. */
const PORT = '3001'

const block = (kind: 'text' | 'json', name: string): string => {
  const found = new RegExp(`\`\`\`${kind} ${name}\n([\\s\\S]*?)\`\`\``).exec(page)
  if (!found) throw new Error(`docs/doctor.md has no block "${kind} ${name}"`)
  return found[1]!
}

/** What a block quotes: its first line is the command, its last two ask for the exit code. */
const quoted = (name: string) => {
  const [command = '', ...lines] = block('text', name).trimEnd().split('\n')
  const [ask, exitCode] = lines.splice(-2)
  expect([command.slice(0, 18), ask]).toEqual(['$ holdfast doctor ', '$ echo $?'])
  return { args: command.split(' ').slice(3), out: `${lines.join('\n')}\n`, exitCode: Number(exitCode) }
}

/** Times differ from run to run, and with them how far they are indented, and a flag that is made from one. */
const masked = (text: string): string =>
  text
    .replace(/\b\d+(\.\d+)? m?s\b/g, '#')
    .replace(/timeout=\d+/, 'timeout=#')
    .replace(/ +/g, ' ')

const compare = ({ out, exitCode, err }: Ran, name: string, port: number | string = PORT) => {
  const expected = quoted(name)
  expect(err).toBe('')
  expect(masked(out.replaceAll(String(port), PORT))).toBe(masked(expected.out))
  expect(exitCode).toBe(expected.exitCode)
}

const at = (port: number, { args }: { readonly args: readonly string[] }): string[] =>
  args.map((arg) => arg.replace(`:${PORT}/`, `:${port}/`))

describe('what it quotes is what is printed', () => {
  let peer: OnebotPeer
  beforeAll(async () => {
    peer = await startOnebotPeer({ token: 'right' })
  })
  afterAll(() => peer.close())

  test.each([
    ['well', 'right'],
    ['token', 'wrong'],
  ])('%s', async (name, token) => {
    const port = Number(new URL(peer.url).port)
    compare(await runDoctor(at(port, quoted(name)), { ONEBOT_TOKEN: token }), name, port)
  })

  test('refused', async () => {
    const port = await refusingPort()
    compare(await runDoctor(at(port, quoted('refused'))), 'refused', port)
  })

  test('refused, as JSON', async () => {
    const port = await refusingPort()
    const { out } = await runDoctor([`ws://127.0.0.1:${port}/`, '--json'])
    const timeless = (text: string) =>
      JSON.parse(text, (key, value: unknown) => (key === 'ms' && typeof value === 'number' ? 0 : value))
    expect(timeless(out.replaceAll(String(port), PORT))).toEqual(timeless(block('json', 'refused')))
  })
})

describeInLab('what it quotes of the founding incident is what is printed', () => {
  let lab: Lab
  beforeAll(async () => {
    lab = await startLab('v6unreach')
    await lab.shape({ v4: { rttMs: 600 } })
  })
  afterAll(() => lab?.stop())

  test('incident', async () => {
    const { args } = quoted('incident')
    expect(args).toEqual([`ws://${lab.target}:${lab.server.ports.echo}/`])
    compare(await runDoctorIn(lab, args), 'incident')
  })
})

/** The rows of the table under a heading, cell by cell, without backticks. */
const rowsUnder = (heading: string): string[][] => {
  const section = page.split(`\n## ${heading}\n`)[1]?.split('\n## ')[0] ?? ''
  const lines = section.split('\n').filter((line) => line.startsWith('|'))
  return lines.slice(2).map((line) =>
    line
      .slice(1, -1)
      .split('|')
      .map((cell) => cell.trim().replaceAll('`', '')),
  )
}

describe('its tables are complete', () => {
  test('the fields of each layer', () => {
    const layers = layersWith({ proxy: {} })
    const fields = layers.map(({ name, ok: _ok, ms: _ms, ...rest }) => [name, Object.keys(rest).join(', ')])
    expect(rowsUnder('JSON')).toEqual(fields)
  })

  test('the diagnoses, with layer and exit code', () => {
    const known = new Map([['well', { layers: [''], exitCode: '0' }]])
    for (const [rows, exitCode] of [
      [failures, '2'],
      [blemishes, '1'],
    ] as const) {
      for (const { code, layer } of rows) {
        const layers = known.get(code)?.layers ?? []
        known.set(code, { layers: [...new Set([...layers, layer])], exitCode })
      }
    }
    known.set('unknown', { layers: [''], exitCode: '2' })
    const expected = [...known].map(([code, { layers, exitCode }]) => [code, layers.join(', '), exitCode])
    expect(rowsUnder('Diagnoses').map((cells) => cells.slice(0, 3))).toEqual(expected)
  })

  test('the layers, and how long each may take', () => {
    const numbers = new Numbers('.')
    const limits = (
      [
        ['dns', 'ANSWER_MS'],
        ['tcp', 'CONNECT_MS'],
        ['dialers', 'HOLDFAST_MS'],
        ['proxy', 'PROXY_MS'],
        ['tls', 'TLS_MS'],
        ['upgrade', 'UPGRADE_MS'],
        ['handshake', 'HANDSHAKE_MS'],
        ['handshake', 'BEATS_MS'],
      ] as const
    ).map(([file, name]) => numbers.show(`src/doctor/${file}.ts`, name))
    const rows = rowsUnder('What it examines')
    expect(rows.map(([title]) => title)).toEqual(layerNames.map((name) => titleOf(name, 'en')))
    expect(rows.map((cells) => cells.at(-1))).toEqual(limits)
    const [pings, addresses, total] = [
      numbers.show('src/doctor/heartbeats.ts', 'ANSWER_MS'),
      numbers.show('src/doctor/tcp.ts', 'ADDRESSES_MAX'),
      numbers.show('src/doctor/examine.ts', 'TOTAL_MS'),
    ]
    expect(page).toContain(`pings (${pings} each)`)
    expect(page).toContain(`all at once, ${addresses} at most`)
    expect(page).toContain(`takes ${total} at most`)
  })
})
