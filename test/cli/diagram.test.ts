/** `holdfast diagram` as a person has it: machines of ours and of theirs, and what it says where there is none. */
import { describe, expect, test } from 'vitest'
import { linkMachine } from '../../machines/link.ts'
import { builtIns } from '../../src/diagram/built-in.ts'
import { mermaidOf } from '../../src/diagram/mermaid.ts'
import { chartOf } from '../../src/diagram/model.ts'
import { svgOf } from '../../src/diagram/svg.ts'
import { holdfast } from './run.ts'

const machines = 'test/cli/machines'
const diagram = (...args: string[]) => holdfast('diagram', ...args)

describe('machines of ours', () => {
  test('the link in Mermaid, unless told otherwise', async () => {
    expect(await diagram()).toMatchObject({ exitCode: 0, out: mermaidOf(chartOf(linkMachine)), err: '' })
  })

  test.each([...builtIns])('%s as data', async (name, { machine }) => {
    const { out, exitCode } = await diagram('--machine', name, '--format', 'json')
    expect(exitCode).toBe(0)
    expect(JSON.parse(out)).toEqual(JSON.parse(JSON.stringify(chartOf(machine))))
  })

  test.each([...builtIns])('%s as the drawing of the docs', async (name, { machine, layout }) => {
    expect(await diagram('--machine', name, '--format', 'svg')).toMatchObject({
      exitCode: 0,
      out: svgOf(chartOf(machine), layout!),
      err: '',
    })
  })

  test('a table in Chinese keeps the names and the reasons of the chart, and translates those of the faults', async () => {
    const { out } = await diagram('--format', 'table', '--lang', 'zh')
    expect(out).toContain('| 状态 | 期限 | 事件 | 转到 | 原因 |')
    expect(out).toContain(
      '| `resolving` | `resolveDeadline`, 10 s | `endpoint.resolved` | `attached` | there is an address',
    )
    expect(out).toContain('| `after connectDeadline` | `backoff` | 对端未在时限内应答连接 |')
    expect(out).toContain('| `stopped` | 终态 | | | |')
  })
})

describe('a machine of the user', () => {
  test.each(['mermaid', 'svg', 'dot', 'json', 'table'])('as %s', async (format) => {
    const { out, exitCode, err } = await diagram(`${machines}/errand.mjs`, '--format', format)
    expect({ exitCode, err }).toEqual({ exitCode: 0, err: '' })
    await expect(out).toMatchFileSnapshot(`golden/errand.${format}.txt`)
  })

  test.each([
    [`${machines}/errand.mjs`, 'errand'],
    [`${machines}/lamp.cjs`, 'lamp'],
  ])('%s under the name %s', async (file, name) => {
    const { out, exitCode } = await diagram(file, '--export', name, '--format', 'json')
    expect(exitCode).toBe(0)
    expect(JSON.parse(out).id).toBe(name)
  })
})

describe('64, with nothing printed but what is wrong', () => {
  test.each([
    ['a file that is not there', ['nowhere.mjs'], 'nowhere.mjs is not a file'],
    ['a folder', [machines], 'is not a file'],
    ['a module that throws', [`${machines}/broken.mjs`], 'broken.mjs cannot be loaded: Error: it fell over'],
    [
      'no such export',
      [`${machines}/errand.mjs`, '--export', 'lamp'],
      'no export "lamp". It exports default, errand, tick.',
    ],
    ['an actor', [`${machines}/lamp.cjs`, '--export', 'actor'], 'is an actor, whose machine is wanted'],
    ['a machine of XState 4', [`${machines}/lamp.cjs`, '--export', 'old'], 'is a machine of XState 4'],
    ['a number', [`${machines}/lamp.cjs`, '--export', 'number'], 'is 7; it must be a machine of XState 5'],
    [
      'a machine that there is not',
      ['--machine', 'kettle'],
      '--machine kettle: it must be link or breaker or service or lease',
    ],
    ['a format that there is not', ['--format', 'png'], '--format png: it must be mermaid, svg, dot, json, table.'],
    ['a machine and a file', ['--machine', 'link', `${machines}/errand.mjs`], 'not both'],
    ['a name without a file', ['--export', 'errand'], '--export goes with a FILE'],
    ['two files', ['a.mjs', 'b.mjs'], 'One FILE at a time'],
  ])('%s', async (_what, args, words) => {
    const { exitCode, out, err } = await diagram(...args)
    expect({ exitCode, out }).toEqual({ exitCode: 64, out: '' })
    expect(err).toContain(words)
    expect(err).not.toMatch(/^ {4}at /m)
  })
})
