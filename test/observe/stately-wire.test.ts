/**
 * The contract: what @statelyai/inspect says of the actor of a link, and what the bridge says of the same link at the same
 * time, both taken in by that package's own receiver, are the same kinds of messages with the same fields of the same types.
 */
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { createWebSocketInspector, createWebSocketReceiver } from '@statelyai/inspect'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { WebSocket, WebSocketServer } from 'ws'
import { realClock } from '../../src/clock.ts'
import { type StatelyBridge, stately } from '../../src/observe/stately.ts'
import { WAITING_MAX } from '../../src/observe/stately-socket.ts'
import { rig } from '../small-talk.ts'

/** Set while the inspector shall see the actors that links make. */
const inspector = vi.hoisted(() => ({ current: undefined as { inspect: { next?(event: never): void } } | undefined }))

vi.mock('xstate', async (original) => {
  const xstate = await original<typeof import('xstate')>()
  const createActor = (logic: never, options: { inspect?: (event: never) => void; input: unknown }) => {
    const { inspect } = options
    const both = (event: unknown) => {
      inspect?.(event as never)
      inspector.current?.inspect.next?.(event as never)
    }
    return xstate.createActor(logic, { ...options, inspect: both } as never)
  }
  return { ...xstate, createActor }
})

const ending: (() => void)[] = []
afterEach(() => {
  for (const end of ending.splice(0)) end()
  inspector.current = undefined
})

/** A server that passes every message on to all others, as inspectors need one between them and an app. */
const relay = async (port = 0) => {
  const server = new WebSocketServer({ port, host: '127.0.0.1' })
  server.on('connection', (socket) => {
    socket.on('message', (data) => {
      for (const other of server.clients)
        if (other !== socket && other.readyState === WebSocket.OPEN) other.send(`${data}`)
    })
  })
  await once(server, 'listening')
  const close = () => {
    for (const socket of server.clients) socket.terminate()
    server.close()
  }
  ending.push(close)
  const { port: bound } = server.address() as AddressInfo
  return { url: `ws://127.0.0.1:${bound}`, port: bound, server, close }
}

type Message = Record<string, unknown> & { type: string }

/** Everything that the package's own receiver takes from a relay. */
const receive = async ({ url, server }: Awaited<ReturnType<typeof relay>>): Promise<Message[]> => {
  const taken: Message[] = []
  const connected = once(server, 'connection')
  createWebSocketReceiver({ server: url }).subscribe((message) => taken.push(message as unknown as Message))
  await connected
  // it listens from its own `open` on
  await pause(50)
  return taken
}

const until = async (condition: () => boolean) => {
  while (!condition()) await pause(10)
}

const show = (made: ReturnType<typeof rig>, url: string): StatelyBridge => {
  const bridge = stately([made.link], { url, clock: realClock })
  ending.push(() => bridge.close())
  return bridge
}

/** The names and types of all fields, without the values. What is private in ours is looked at apart. */
const shapeOf = (value: unknown): unknown => {
  if (typeof value !== 'object' || value === null) return value === null ? 'null' : typeof value
  if (Array.isArray(value)) return value.map(shapeOf)
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, shapeOf(inner)]))
}

/** What a message says, without what must differ: moments, names of sessions, and the context, which ours redacts. */
const saying = ({ type, event, snapshot, definition }: Message) => {
  const { context: _, children: __, ...told } = (snapshot ?? {}) as Record<string, unknown>
  return { type, event, ...told, ...(typeof definition === 'string' && { definition: JSON.parse(definition) }) }
}

test('the real inspector and the bridge tell the same of one link', async () => {
  const [real, ours] = [await relay(), await relay()]
  const [fromReal, fromOurs] = [await receive(real), await receive(ours)]
  const theirs = createWebSocketInspector({ url: real.url, serializationDepthLimit: 30 })
  ending.push(() => theirs.stop())
  inspector.current = theirs as never
  await once(real.server, 'connection')

  const made = rig()
  show(made, ours.url)
  await once(ours.server, 'connection')
  await made.live()
  made.network.current!.lose({ code: 'connection-lost' })
  await made.clock.advance(3_000)
  made.network.healthy = false
  made.network.current!.lose({ code: 'refused' })
  await made.clock.advance(0)
  // in any other state that would mean nothing: the inspector tells of such events too, a record of transitions does not
  expect(made.link.status.state).toBe('backoff')
  made.link.retry()
  await made.clock.advance(100)
  await made.end()
  await until(() => fromOurs.at(-1)?.type === '@xstate.snapshot' && JSON.stringify(fromOurs.at(-1)).includes('stopped'))
  await pause(200)

  // the actors of the activities and the start of the machine are not shown
  const root = fromReal[0]!.rootId
  const ofLink = fromReal.filter(
    ({ sessionId, event }) => sessionId === root && (event as Message)?.type !== 'xstate.init',
  )
  expect(ofLink.length).toBeGreaterThan(25)
  expect(fromOurs.map(({ type }) => type)).toEqual(ofLink.map(({ type }) => type))

  // the inspector asks its actor for the snapshot of the first message when it gets round to it
  expect(fromOurs.slice(1).map(saying)).toEqual(ofLink.slice(1).map(saying))
  expect({ ...saying(fromOurs[0]!), value: '' }).toEqual({
    ...saying(ofLink[0]!),
    value: '',
    status: 'active',
    tags: [],
  })
  for (const [index, mine] of fromOurs.entries()) {
    const { event: _, snapshot, name, sourceId, ...head } = mine
    const { event: __, snapshot: itsSnapshot, name: itsName, sourceId: itsSource, ...itsHead } = ofLink[index]!
    expect(shapeOf(head), `message ${index}`).toEqual(shapeOf(itsHead))
    expect(Object.keys(snapshot ?? {}).sort(), `snapshot ${index}`).toEqual(Object.keys(itsSnapshot ?? {}).sort())
    expect([typeof name, typeof mine.createdAt, mine._version]).toEqual([typeof itsName, 'string', '0.7.2'])
    // ours knows itself only; that an activity spoke, and which, is not told
    if (sourceId !== undefined) expect([sourceId, itsSource]).toEqual([mine.sessionId, root])
  }
})

describe('the way to an inspector', () => {
  test('comes back when the server does, introduces the link anew, and gives what was kept', async () => {
    const first = await relay()
    const made = rig()
    show(made, first.url)
    await once(first.server, 'connection')
    first.close()
    // what is written to a socket that is dying is lost with it
    await pause(100)
    const before = made.link.recording.total
    await made.live()
    const pairs = Array(made.link.recording.total - before).fill(['event', 'snapshot'])
    const second = await relay(first.port)
    const taken = await receive(second)
    await until(() => taken.length > 2 * pairs.length)
    expect(pairs.length).toBeGreaterThan(2)
    expect(taken.map(({ type }) => type.slice(8))).toEqual(['actor', ...pairs.flat()])
    expect(taken[0]).toMatchObject({ snapshot: { value: { attached: { session: 'live' } } } })
    expect(taken.at(-1)).toMatchObject({ event: { type: 'replay.completed' } })
    await made.end()
  })

  test('remembers the latest 200 messages while nobody is there, counts the rest, and disturbs no link', async () => {
    const { port, close } = await relay()
    close()
    const made = rig()
    const bridge = show(made, `ws://127.0.0.1:${port}`)
    await made.live()
    for (let n = 0; n < 100; n++) {
      made.network.current!.frame({ op: 'offline', why: 'a test' })
      made.network.current!.frame({ op: 'online' })
    }
    const messages = 2 * made.link.recording.total
    expect(bridge.dropped).toBe(messages - WAITING_MAX)
    await made.end()
    expect(made.link.stats.listenerErrors).toBe(0)
    await until(() => bridge.dropped === 2 * made.link.recording.total)
  })

  test('ends by itself when all links have stopped, after the last word', async () => {
    const there = await relay()
    const taken = await receive(there)
    const made = rig()
    show(made, there.url)
    const [socket] = (await once(there.server, 'connection')) as [WebSocket]
    await made.live()
    const closed = once(socket, 'close')
    await made.end()
    await closed
    await until(() => JSON.stringify(taken.at(-1) ?? '').includes('"stopped"'))
  })
})
