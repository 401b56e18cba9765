/** Small machines that hold what the link's chart does not. */
import { and, createMachine, not, setup } from 'xstate'

/** Names that a careless writer of Mermaid, Markdown or HTML would trip over. */
export const hostileNames = [
  'end',
  'note',
  'a b',
  'a+b',
  'class',
  '-->',
  '{',
  '[*]',
  '<script>alert(1)</script>',
  '状态',
]

export const hostileEvents = ['x: y; z', '--> end', '"quoted"', '%%{init: {}}%%', '#35;', '<b>bold</b>', 'a|b', 'p`q']

/** A ring through all hostile names, with all hostile events on the way. */
export const hostile = createMachine({
  id: 'hostile',
  initial: hostileNames[0]!,
  on: { 'ev: ery; "where"': { target: '.note' } },
  states: Object.fromEntries(
    hostileNames.map((name, index) => {
      const target = hostileNames[(index + 1) % hostileNames.length]!
      return [name, { on: { [hostileEvents[index % hostileEvents.length]!]: target } }]
    }),
  ),
})

/** Every feature of a chart that the reader of machines has to know. */
export const rich = setup({
  types: {} as { events: { type: 'GO' } | { type: 'STAY' } | { type: 'NOTHING' }; tags: 'busy' },
  delays: { soon: 1_500, later: () => 10 },
  guards: { ready: () => true, calm: () => true },
  actions: { count: () => undefined },
}).createMachine({
  id: 'rich',
  initial: 'first',
  states: {
    first: {
      tags: 'busy',
      on: {
        GO: [
          { guard: and(['ready', not('calm')]), target: 'both', description: 'ready, and not calm' },
          { guard: { type: 'calm' }, target: 'last' },
        ],
        STAY: { actions: 'count' },
        NOTHING: {},
      },
      after: { soon: 'last', later: 'both', 250: { actions: 'count' } },
    },
    both: {
      type: 'parallel',
      states: {
        left: { initial: 'l1', states: { l1: { on: { GO: 'l2' } }, l2: { type: 'final' } } },
        right: { initial: 'r1', states: { r1: { on: { GO: 'r2' } }, r2: { type: 'final' } } },
      },
      onDone: 'passing',
    },
    passing: { always: 'last' },
    last: { type: 'final' },
  },
})
