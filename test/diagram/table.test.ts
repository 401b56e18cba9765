import { describe, expect, test } from 'vitest'
import { faults } from '../../machines/fault.ts'
import { linkMachine } from '../../machines/link.ts'
import { chartOf } from '../../src/diagram/model.ts'
import { becauseOf, deadlineTable, faultTable, markdownTable, stateTable } from '../../src/diagram/table.ts'
import { hostile } from './charts.ts'

const link = chartOf(linkMachine)
const arrows = [...link.arrows, ...link.states.flatMap((state) => state.arrows)]

/** The cells of a table; a bar that is escaped does not end one. */
const cellsOf = (table: string): string[][] =>
  table.split('\n').map((line) =>
    line
      .slice(1, -1)
      .split(/(?<!\\)\|/)
      .map((cell) => cell.trim()),
  )

describe('the state table', () => {
  const [head, , ...rows] = cellsOf(stateTable(link))

  test('has a row for every transition and every state', () => {
    expect(head).toEqual(['state', 'deadline', 'on', 'to', 'because'])
    const silent = link.states.filter((state) => state.arrows.length === 0)
    expect(rows).toHaveLength(arrows.length + silent.length)
    for (const { path } of link.states) expect(rows.filter(([state]) => state === `\`${path}\``)).toHaveLength(1)
  })

  test('gives a reason for every transition', () => {
    expect(rows.filter(([, , on, , because]) => on !== '' && because === '')).toEqual([])
  })

  test('tells the operator’s orders apart from what a state says itself', () => {
    expect(rows[0]).toEqual([
      'any state',
      'unless it says otherwise',
      '`operator.stop`',
      '`stopped`',
      'nothing is open, so nothing is left to drain',
    ])
    expect(rows).toContainEqual([
      '`parked`',
      'waits for `operator.resume`',
      '`operator.resume`',
      '`resolving`',
      'a person ordered it',
    ])
  })

  test('every table has as many cells in each row as in its head', () => {
    for (const table of [
      stateTable(link),
      stateTable(chartOf(hostile)),
      deadlineTable(link),
      faultTable('en'),
      faultTable('zh'),
    ]) {
      const [first, ...others] = cellsOf(table)
      expect(others.filter((cells) => cells.length !== first!.length)).toEqual([])
    }
  })
})

describe('the reason of a transition', () => {
  const reasonOf = (from: string, event: string, guard: string | null = null) =>
    becauseOf(arrows.find((arrow) => arrow.from === from && arrow.event.includes(event) && arrow.guard === guard)!)

  test('is the description, where there is one', () => {
    expect(reasonOf('resolving', 'endpoint.resolved')).toBe('there is an address to dial')
  })

  test('is the because of the fault that is blamed', () => {
    expect(reasonOf('attached.connecting', 'connectDeadline')).toBe(faults['connect-timeout'].because.en)
    expect(reasonOf('resolving', 'xstate.done')).toBe(faults['engine-failed'].because.en)
  })

  test('is the fault that the event carries, where that is noted', () => {
    expect(reasonOf('attached.session.live', 'account.impaired')).toBe('the fault it carries')
  })

  test('says so where an event is silenced', () => {
    expect(reasonOf('parked', 'operator.hold')).toBe('nothing to do here')
  })
})

test('the deadline table has every wait with its length and its end', () => {
  const [, , ...rows] = cellsOf(deadlineTable(link))
  expect(rows).toContainEqual(['`suspectGrace`', '2 s', '`attached.session.degraded.suspect`', '`backoff`'])
  expect(rows).toContainEqual(['`provenAfter`', '2 min', '`attached.session.live`', 'past attempts are forgiven'])
  expect(rows).toContainEqual(['`backoffDelay`', 'worked out each time', '`backoff`', '`resolving`'])
  expect(rows).toHaveLength(link.states.flatMap(({ after }) => after).length)
})

test('the fault table has every fault in both languages', () => {
  for (const language of ['en', 'zh'] as const) {
    const [, , ...rows] = cellsOf(faultTable(language))
    expect(rows.map(([code]) => code)).toEqual(Object.keys(faults).map((code) => `\`${code}\``))
    expect(rows[0]).toContain(faults['name-not-found'].because[language])
  }
})

test('what would end a cell or start markup is escaped', () => {
  const hostileTable = stateTable(chartOf(hostile))
  expect(hostileTable).toContain('`a\\|b`')
  expect(markdownTable(['a', 'b'], [['', 'x']])).toBe('| a | b |\n| --- | --- |\n| | x |')
})
