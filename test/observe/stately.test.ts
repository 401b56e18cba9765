/** What the bridge says of a link, message by message, and what it never says. */
import { describe, expect, test } from 'vitest'
import { linkMachine, stateName, stateNames } from '../../machines/link.ts'
import { type StatelyMessage, type StatelyOptions, stately } from '../../src/observe/stately.ts'
import { eventTypeOf, placeOf } from '../../src/observe/stately-chart.ts'
import { type RigOptions, rig } from '../small-talk.ts'

const shown = (options: RigOptions = {}, more: Omit<StatelyOptions, 'send'> = {}) => {
  const made = rig(options)
  const said: StatelyMessage[] = []
  const bridge = stately([made.link], { ...more, clock: made.clock, send: (message) => said.push(message) })
  return { ...made, said, bridge }
}

describe('the messages', () => {
  test('an actor first, then one event and one snapshot for each transition', async () => {
    const { clock, link, said, live, end } = shown()
    const wall = clock.wall()
    await live()
    const [actor, ...rest] = said
    const common = { _version: '0.7.2', id: null, rootId: actor!.sessionId, sessionId: actor!.sessionId }
    expect(actor).toEqual({
      ...common,
      type: '@xstate.actor',
      createdAt: String(wall),
      name: 'bot',
      definition: expect.any(String),
      snapshot: {
        status: 'active',
        value: 'resolving',
        historyValue: {},
        context: { attempt: 1, fault: null },
        children: {},
        tags: [],
      },
    })
    expect(JSON.parse(String(actor!.definition))).toMatchObject({ id: 'link', initial: 'resolving' })
    expect(rest.map(({ type }) => type)).toEqual(
      link.recording.kept.flatMap(() => ['@xstate.event', '@xstate.snapshot']),
    )
    expect(rest.at(-1)).toMatchObject({
      ...common,
      createdAt: String(wall + 20),
      event: { type: 'replay.completed' },
      snapshot: { value: { attached: { session: 'live' } }, tags: ['sendable'], status: 'active' },
    })
    await end()
    expect(said.at(-1)).toMatchObject({ snapshot: { value: 'stopped', status: 'done' } })
  })

  test('a deadline by the name that XState gives it, from the actor itself', async () => {
    const { clock, said, end } = shown({ healthy: false, deadlines: { connectMs: 100 } })
    await clock.advance(100)
    const type = 'xstate.after.connectDeadline.link.attached.connecting'
    expect(said.at(-2)).toMatchObject({ type: '@xstate.event', event: { type }, sourceId: said[0]!.sessionId })
    expect(said.at(-1)).toMatchObject({ snapshot: { context: { attempt: 2, fault: { code: 'connect-timeout' } } } })
    await end()
  })

  test('one that comes late learns where the link is', async () => {
    const { link, clock, live, end } = rig()
    await live()
    const said: StatelyMessage[] = []
    stately([link], { clock, send: (message) => said.push(message) })
    expect(said).toHaveLength(1)
    expect(said[0]).toMatchObject({ snapshot: { value: { attached: { session: 'live' } } } })
    await end()
  })

  test('each link is an actor of its own, also under the same name', () => {
    const [one, other] = [rig(), rig()]
    const said: StatelyMessage[] = []
    stately([one.link, other.link], { clock: one.clock, send: (message) => said.push(message) })
    expect(said.map(({ name }) => name)).toEqual(['bot', 'bot'])
    expect(new Set(said.map(({ sessionId }) => sessionId)).size).toBe(2)
  })

  test('a closed bridge says nothing more, and the link does not notice', async () => {
    const { said, bridge, live, end } = shown()
    bridge.close()
    await live()
    expect(said).toHaveLength(1)
    await end()
  })
})

describe('what is private', () => {
  const lost = { code: 'connection-lost', detail: 'the peer said s3cret' } as const

  test('details of faults stay here', async () => {
    const { said, live, network, clock, end } = shown()
    await live()
    network.current!.lose(lost)
    await clock.advance(0)
    expect(said.at(-2)).toMatchObject({ event: { type: 'transport.lost', fault: { code: 'connection-lost' } } })
    expect(JSON.stringify(said)).not.toContain('s3cret')
    await end()
  })

  test('unless they are asked for', async () => {
    const { said, live, network, clock, end } = shown({}, { details: true })
    await live()
    network.current!.lose(lost)
    await clock.advance(0)
    expect(said.at(-2)).toMatchObject({ event: { fault: lost } })
    expect(said.at(-1)).toMatchObject({ snapshot: { context: { fault: lost } } })
    await end()
  })

  test('frames and tokens never leave, whatever is asked for', async () => {
    const target = { url: 'ws://127.0.0.1:7000/?key=s3cret', headers: { Authorization: 'Bearer s3cret' } }
    const { said, live, network, link, clock, end } = shown({ target }, { details: true })
    await live()
    void link.send({ text: 's3cret' })
    network.current!.frame({ op: 'news', text: 's3cret' })
    network.current!.frame({ op: 'offline', why: 'your key s3cret is bad' })
    network.current!.lose({ code: 'connection-lost', detail: 'GET /?key=s3cret' })
    await clock.advance(10)
    expect(said.length).toBeGreaterThan(10)
    expect(JSON.stringify(said)).not.toContain('s3cret')
    await end()
  })
})

describe('the chart as an inspector knows it', () => {
  test.each(stateNames)('%s has a value that the machine itself resolves', (name) => {
    const { value, tags } = placeOf(name)
    expect(stateName(value)).toBe(name)
    const snapshot = linkMachine.resolveState({
      value: value as never,
      context: { id: 'bot', spent: { vacant: 0, dropped: 0, costly: 0 }, fault: null },
    })
    expect(snapshot.value).toEqual(value)
    expect([...tags].sort()).toEqual([...snapshot.tags].sort())
  })

  test('every deadline has one event of XState', () => {
    const nodes = stateNames.flatMap(
      (name) => linkMachine.getStateNodeById(`link.${pathOf(placeOf(name).value)}`).after,
    )
    expect(nodes.length).toBeGreaterThan(7)
    for (const { delay, eventType } of nodes) expect(eventTypeOf(`after ${String(delay)}`)).toBe(eventType)
    expect(eventTypeOf('transport.lost')).toBe('transport.lost')
  })
})

const ignore = (): void => undefined

const pathOf = (value: unknown): string =>
  typeof value === 'string'
    ? value
    : Object.entries(value as object).map(([key, inner]) => `${key}.${pathOf(inner)}`)[0]!

test.each([
  ['nothing to send to', [], {}, 'needs a "url"'],
  ['a send that is no function', [], { send: 's3cret', url: 'ws://127.0.0.1:1' }, '"send" of stately() is'],
  ['no URL', [], { url: 'nowhere s3cret' }, 'is no URL of a WebSocket'],
  ['a URL of something else', [], { url: 'https://stately.ai/?key=s3cret' }, 'is no URL of a WebSocket'],
  ['an option that there is not', [], { send: ignore, detail: true }, '"detail"'],
  ['no list', { id: 'bot' }, { send: ignore }, 'shows a list of links'],
])('%s is refused at once', (_what, links, options, words) => {
  const make = () => stately(links as never, options as never)
  expect(make).toThrow(words)
  expect(make).not.toThrow('s3cret')
})
