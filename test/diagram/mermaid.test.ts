import { expect, test } from 'vitest'
import { linkMachine } from '../../machines/link.ts'
import { mermaidOf } from '../../src/diagram/mermaid.ts'
import { chartOf, edgesOf } from '../../src/diagram/model.ts'
import { hostile, hostileNames, rich } from './charts.ts'

const link = chartOf(linkMachine)
const lines = mermaidOf(link)
  .split('\n')
  .map((line) => line.trim())

test('every edge of the link is one arrow, but for the orders that hold everywhere', () => {
  const edges = edgesOf(link).filter(({ from }) => from !== '')
  expect(lines.filter((line) => / --> \w+ : /.test(line))).toHaveLength(edges.length)
  expect(lines.slice(lines.indexOf('note left of resolving'))).toEqual([
    'note left of resolving',
    'In every state that does not say otherwise',
    'operator.stop, lease.lost → stopped',
    'operator.hold → parked',
    'end note',
    '',
  ])
})

test('labels are merged, and XState’s own names are told in words', () => {
  expect(lines).toContain('registered --> backoff : after replayDeadline')
  expect(lines).toContain('attached --> backoff : transport.lost<br/>transport ended or failed')
  expect(lines.filter((line) => line.includes('xstate.'))).toEqual([])
})

test('compound states hold their parts, a final state ends, regions are divided', () => {
  expect(lines).toContain('state attached {')
  expect(lines).toContain('stopped --> [*]')
  expect(mermaidOf(chartOf(rich)).split('\n')).toContain('    --')
})

test('no two states share an id, and no id or label could be read as grammar', () => {
  const text = mermaidOf(chartOf(hostile))
  const declared = [...text.matchAll(/^ {2}state "(.*)" as (\w+)$/gm)].map(([, , id]) => id)
  expect(new Set(declared).size).toBe(hostileNames.length)
  const labels = [...text.matchAll(/^ {2}\w+ --> \w+ : (.*)$/gm)].map(([, label]) => label!)
  expect(labels).toHaveLength(hostileNames.length)
  expect(labels.filter((label) => /[:"%<>|`]|-->|#(?!\d+;)|(?<!#\d+);/.test(label))).toEqual([])
})
