/** Two transports as one: when it is ready, what is told, and that neither outlives the other. */
import { describe, expect, it } from 'vitest'
import { joined } from '../../src/transport/joined.ts'
import type { OpenTransport, TransportListener } from '../../src/transport/transport.ts'

const pipe = { send: () => undefined, ping: () => undefined, bufferedBytes: () => 0, close: () => undefined }

/** A transport in the hand of the test. */
const held = () => {
  const state = { opened: 0, ended: 0, listener: undefined as TransportListener | undefined }
  const transport: OpenTransport = (listener) => {
    state.opened++
    state.listener = listener
    return () => void state.ended++
  }
  return { state, transport }
}

const open = () => {
  const [asking, hearing] = [held(), held()]
  const told: unknown[] = []
  const note = (what: string) => (value?: unknown) => void told.push(value === undefined ? what : [what, value])
  const end = joined(
    asking.transport,
    hearing.transport,
  )({
    opened: note('opened'),
    ready: (ready) => note('ready')(ready === pipe ? 'the first' : 'another'),
    frame: note('frame'),
    event: note('event'),
    inbound: note('inbound'),
    answered: note('answered'),
    drained: note('drained'),
    lost: (fault) => note('lost')(fault.code),
  })
  return { asking: asking.state, hearing: hearing.state, told, end }
}

describe('two transports as one', () => {
  it('open one after the other, and are ready together, with the pipe of the first', () => {
    const { asking, hearing, told } = open()
    asking.listener!.opened()
    expect(hearing.opened).toBe(0)
    asking.listener!.ready(pipe)
    expect(hearing.opened).toBe(1)
    hearing.listener!.opened()
    expect(told).toEqual(['opened'])
    hearing.listener!.ready({ ...pipe })
    hearing.listener!.frame('a')
    asking.listener!.frame('b')
    expect(told).toEqual(['opened', ['ready', 'the first'], ['frame', 'a'], ['frame', 'b']])
  })

  it.each(['asking', 'hearing'] as const)('end both when the %s one is lost, and that is told once', (which) => {
    const both = open()
    both.asking.listener!.ready(pipe)
    both.hearing.listener!.ready(pipe)
    both[which].listener!.lost({ code: 'connection-lost' })
    both[which].listener!.lost({ code: 'connection-lost' })
    expect(both.told.slice(1)).toEqual([['lost', 'connection-lost']])
    expect([both.asking.ended, both.hearing.ended]).toEqual([1, 1])
  })

  it('end both when they are ended, once each', () => {
    const { asking, hearing, end, told } = open()
    asking.listener!.ready(pipe)
    end()
    end()
    expect([asking.ended, hearing.ended]).toEqual([1, 1])
    hearing.listener!.lost({ code: 'listener-failed' })
    expect(told).toEqual([])
  })

  it('do not open the second when they end before', () => {
    const { asking, hearing, end } = open()
    end()
    asking.listener!.ready(pipe)
    expect(hearing.opened - hearing.ended).toBe(0)
  })
})
