/** Frames on bare sockets: real servers on loopback, with keys and without. */
import { connect as connectTcp, type Socket } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { defineAdapter, ecdh, lengthPrefixed, type Target } from '../../src/adapter/adapter.ts'
import { realClock } from '../../src/clock.ts'
import type { KeyExchange, Sealer } from '../../src/key-exchange.ts'
import { connect } from '../../src/link.ts'
import { openTcp, type TcpOptions } from '../../src/transport/tcp.ts'
import { closeAll, Dialed, pem, rawServer, until } from './servers.ts'

afterEach(closeAll)

const framing = lengthPrefixed({ bytes: 4 })
const keyExchange = ecdh({ curve: 'x25519', cipher: 'aes-256-gcm' })
const MAX = 1_024

type Dialing = Partial<Omit<TcpOptions, 'target'>> & Partial<Omit<Target, 'transport'>>

const dialTo = (port: number, { url, tls, keyExchange, ...options }: Dialing = {}): Dialed => {
  const dialed = new Dialed()
  const more = { ...(tls && { tls }), ...(keyExchange && { keyExchange }) }
  dialed.end = openTcp({
    target: { url: url ?? `tcp://127.0.0.1:${port}`, framing, ...more },
    addresses: [{ address: '127.0.0.1', family: 4 }],
    clock: realClock,
    maxPayloadBytes: MAX,
    tlsMs: 2_000,
    upgradeMs: 2_000,
    ...options,
  })(dialed)
  return dialed
}

const say = (socket: Socket, ...frames: string[]) =>
  socket.write(Buffer.concat(frames.map((frame) => framing.encode(frame))))

const texts = ({ frames }: Dialed): string[] => frames.map((frame) => Buffer.from(frame as Uint8Array).toString())

/** The peer's side of a bare socket, with or without keys. */
const talkAs = (socket: Socket, exchange: KeyExchange | undefined, heard: (text: string, say: Say) => void) => {
  const decoder = framing.decoder(MAX)
  let pending = exchange
  let sealer: Sealer | undefined
  const say: Say = (text) => socket.write(framing.encode(sealer?.seal(Buffer.from(text)) ?? text))
  if (exchange) socket.write(framing.encode(exchange.begin()))
  socket.on('data', (chunk) => {
    for (const frame of decoder.push(chunk)) {
      if (pending) {
        sealer = pending.accept(frame)
        pending = undefined
      } else heard(Buffer.from(sealer?.open(frame) ?? frame).toString(), say)
    }
  })
}

type Say = (text: string) => void

const echoing = (exchange?: () => KeyExchange) => (socket: Socket) =>
  talkAs(socket, exchange?.(), (text, say) => say(`you said ${text}`))

describe('a bare socket', () => {
  it('is open when it stands, and carries frames both ways, in one system call where it can', async () => {
    const { port, open } = await rawServer(echoing())
    const dialed = dialTo(port)
    await dialed.isReady()
    expect(dialed.told).toEqual(['opened', 'ready'])
    for (const text of ['a', '', 'é'.repeat(400)]) dialed.pipe!.send(text)
    dialed.pipe!.send(Buffer.from('bytes'))
    await until(() => dialed.frames.length === 4)
    expect(texts(dialed)).toEqual(['a', '', 'é'.repeat(400), 'bytes'].map((text) => `you said ${text}`))
    expect(dialed.told.at(-1)).toBe('inbound')
    expect(dialed.pipe!.bufferedBytes()).toBe(0)
    dialed.end()
    await until(() => open.size === 0)
    expect(dialed.losses).toEqual([])
  })

  it('gives the same frames however the bytes arrive; a piece of a frame is a sign of life', async () => {
    const bytes = Buffer.concat([framing.encode('hello'), framing.encode('world')])
    const { port } = await rawServer(async (socket) => {
      socket.setNoDelay(true)
      for (const byte of bytes) {
        socket.write(Uint8Array.of(byte))
        await new Promise((resolve) => setTimeout(resolve, 2))
      }
    })
    const dialed = dialTo(port)
    await until(() => dialed.frames.length === 2)
    expect(texts(dialed)).toEqual(['hello', 'world'])
    expect(dialed.told.filter((text) => text === 'inbound').length).toBeGreaterThan(2)
    dialed.end()
  })

  it('over TLS checks who answers, and offers no protocol of HTTP', async () => {
    const offered: unknown[] = []
    const met = (socket: Socket) => {
      offered.push((socket as unknown as { alpnProtocol: unknown }).alpnProtocol)
      echoing()(socket)
    }
    const { port } = await rawServer(met, 'localhost')
    const url = `tls://localhost:${port}`
    const dialed = dialTo(port, { url, tls: { ca: pem('localhost') } })
    await dialed.isReady()
    dialed.pipe!.send('over TLS')
    await until(() => dialed.frames.length === 1)
    expect(offered).toEqual([false])
    dialed.end()
    expect((await dialTo(port, { url }).loss()).fault.code).toBe('tls-certificate')
  })

  it.each([
    ['too big', [0, 0, 4, 1], 'frame-too-big', 'a frame of 1025 bytes: 1024 are the most'],
    ['of another protocol', [...Buffer.from('HTTP/1.1 400 Bad Request')], 'frame-too-big', /are the most/],
  ])('a frame that is %s ends it at once, behind the frames before it', async (_what, bytes, code, detail) => {
    const { port, open } = await rawServer((socket) => {
      socket.write(Buffer.concat([framing.encode('before'), Buffer.from(bytes), framing.encode('after')]))
    })
    const dialed = dialTo(port)
    const { fault } = await dialed.loss()
    expect(fault).toMatchObject({ code, detail: expect.stringMatching(detail) })
    expect(texts(dialed)).toEqual(['before'])
    await until(() => open.size === 0)
  })

  it('a reset, an end, an end within a frame and an end before a word are told apart', async () => {
    const server = (act: (socket: Socket) => void) =>
      rawServer((socket) => {
        say(socket, 'hello')
        setTimeout(() => act(socket), 20)
      })
    const all = [
      await server((socket) => void socket.resetAndDestroy()),
      await server((socket) => void socket.end()),
      await server((socket) => void socket.end(Uint8Array.of(0, 0))),
      await rawServer((socket) => void socket.end()),
    ]
    const losses = await Promise.all(all.map(({ port }) => dialTo(port).loss()))
    expect(losses.map(({ fault }) => fault)).toEqual([
      { code: 'connection-lost', detail: 'the peer reset the connection: read ECONNRESET' },
      { code: 'closed-by-peer', detail: 'the peer ended the connection' },
      { code: 'connection-lost', detail: 'the peer ended the connection in the middle of a frame' },
      { code: 'dropped', detail: 'the peer ended the connection' },
    ])
  })

  it('says what it holds back when the peer does not read, and when there is room again', async () => {
    let peer: Socket | undefined
    const { port } = await rawServer((socket) => {
      peer = socket.pause()
    })
    const dialed = dialTo(port)
    await dialed.isReady()
    const chunk = Buffer.alloc(256 * 1024)
    for (let n = 0; n < 40; n++) dialed.pipe!.send(chunk)
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect(dialed.pipe!.bufferedBytes()).toBeGreaterThan(chunk.length)
    expect(dialed.told).not.toContain('drained')
    peer!.resume()
    await until(() => dialed.told.includes('drained'))
    expect(dialed.pipe!.bufferedBytes()).toBe(0)
    dialed.end()
  })

  it('says goodbye by ending its side, behind all that was written; the answer is the loss', async () => {
    const heard: string[] = []
    const { port } = await rawServer((socket) => talkAs(socket, undefined, (text) => void heard.push(text)))
    const dialed = dialTo(port)
    await dialed.isReady()
    dialed.pipe!.send('last words')
    dialed.pipe!.close()
    await dialed.loss()
    expect(heard).toEqual(['last words'])
  })

  it('what is written in the turn in which it ends still leaves', async () => {
    const heard: string[] = []
    const { port } = await rawServer((socket) => talkAs(socket, undefined, (text) => void heard.push(text)))
    const dialed = dialTo(port)
    await dialed.isReady()
    dialed.pipe!.send('goodbye')
    dialed.end()
    await until(() => heard[0] === 'goodbye')
    dialed.pipe!.send('into nothing')
    expect(dialed.losses).toEqual([])
  })

  it('incident 3.8 after its end it tells nothing, whatever is still in the chunk and on the wire', async () => {
    const { port } = await rawServer((socket) => say(socket, 'one', 'two', 'three'))
    const dialed = dialTo(port)
    dialed.onFrame = () => dialed.end()
    await until(() => dialed.frames.length > 0)
    await new Promise((resolve) => setTimeout(resolve, 30))
    expect(texts(dialed)).toEqual(['one'])
    expect(dialed.told.at(-1)).toBe('frame 6f6e65')
    expect(dialed.losses).toEqual([])
  })

  it('a frame that does not fit behind its length is the fault of the adapter', async () => {
    const { port } = await rawServer(echoing())
    const dialed = new Dialed()
    dialed.end = openTcp({
      target: { url: `tcp://127.0.0.1:${port}`, framing: lengthPrefixed({ bytes: 1 }) },
      addresses: [{ address: '127.0.0.1', family: 4 }],
      clock: realClock,
      maxPayloadBytes: MAX,
      tlsMs: 2_000,
      upgradeMs: 2_000,
    })(dialed)
    await dialed.isReady()
    dialed.pipe!.send('x'.repeat(256))
    const detail = 'Error: a frame of 256 bytes cannot be sent: 255 are the most'
    expect((await dialed.loss()).fault).toEqual({ code: 'adapter-failed', detail })
  })
})

describe('a key exchange', () => {
  it.each([
    'x25519',
    'prime256v1',
  ] as const)('on %s: open when the keys are agreed on, sealed on the wire', async (curve) => {
    const exchange = ecdh({ curve, cipher: 'aes-256-gcm' })
    let wire = ''
    const { port } = await rawServer((socket) => {
      socket.on('data', (chunk) => {
        wire += chunk.toString('latin1')
      })
      echoing(exchange)(socket)
    })
    const dialed = dialTo(port, { keyExchange: exchange })
    await dialed.isReady()
    dialed.pipe!.send('a secret')
    dialed.pipe!.send(Buffer.from('another'))
    await until(() => dialed.frames.length === 2)
    expect(texts(dialed)).toEqual(['you said a secret', 'you said another'])
    expect(wire).not.toContain('secret')
    expect(dialed.told.slice(0, 2)).toEqual(['opened', 'ready'])
    dialed.end()
  })

  it('fails where the key is not verified, is none, or the first frame cannot be opened: nothing was told before', async () => {
    const verify = () => false
    const strict = ecdh({ curve: 'x25519', cipher: 'aes-256-gcm', verify })
    const greeted = await rawServer(echoing(keyExchange))
    const babbling = await rawServer((socket) => say(socket, 'no key at all'))
    const mistaken = await rawServer((socket) => say(socket, text32, 'sealed with what?'))
    const losses = [
      await dialTo(greeted.port, { keyExchange: strict }).loss(),
      await dialTo(babbling.port, { keyExchange }).loss(),
      await dialTo(mistaken.port, { keyExchange }).loss(),
    ]
    expect(losses.map(({ fault }) => fault.code)).toEqual(Array(3).fill('key-exchange-failed'))
    expect(losses[0]!.fault.detail).toContain('the key of the peer was not verified')
    expect(losses[2]!.fault.detail).toContain('a frame could not be opened')
  })

  const text32 = 'as long as a key: thirty-two ....'.slice(0, 32)

  it('a later frame that cannot be opened is a breach of the protocol', async () => {
    const { port } = await rawServer((socket) =>
      talkAs(socket, keyExchange(), (_, answer) => {
        answer('fine')
        say(socket, 'not sealed at all')
      }),
    )
    const dialed = dialTo(port, { keyExchange })
    await dialed.isReady()
    dialed.pipe!.send('hello')
    expect((await dialed.loss()).fault.code).toBe('protocol-violated')
    expect(texts(dialed)).toEqual(['fine'])
  })

  it('has a deadline of its own that dripping does not move, and a drop within it is told as one', async () => {
    const dripping = await rawServer((socket) => {
      socket.write(Uint8Array.of(0, 0, 0, 32))
      const drip = setInterval(() => socket.write('.'), 40)
      socket.on('close', () => clearInterval(drip))
    })
    const dialed = dialTo(dripping.port, { keyExchange, upgradeMs: 300 })
    const { fault, afterMs } = await dialed.loss()
    expect(fault).toEqual({ code: 'handshake-timeout', detail: 'no key of the peer within 300 ms' })
    expect(afterMs).toBeGreaterThan(280)
    expect(afterMs).toBeLessThan(900)
    expect(dialed.told).toEqual(['opened', 'lost'])
    const dropping = await rawServer((socket) => void socket.resume().end())
    expect((await dialTo(dropping.port, { keyExchange }).loss()).fault.code).toBe('dropped')
    await until(() => dripping.open.size + dropping.open.size === 0)
  })

  it('is made anew for each transport, and one that throws costs that attempt', async () => {
    const { port } = await rawServer(echoing(keyExchange))
    let made = 0
    const counted = () => {
      made++
      if (made === 2) throw new Error('no dice')
      return keyExchange()
    }
    await dialTo(port, { keyExchange: counted }).isReady()
    expect((await dialTo(port, { keyExchange: counted }).loss()).fault).toEqual({
      code: 'key-exchange-failed',
      detail: 'Error: no dice',
    })
    expect(made).toBe(2)
  })
})

describe('a link', () => {
  const chat = (target: Target | (() => readonly Target[])) =>
    defineAdapter<string, string>({
      name: 'chat',
      target,
      dialogue: (io) => ({
        opened: () => io.send('log me in'),
        frame: (raw) => {
          const [op, key = '', ...rest] = Buffer.from(raw as Uint8Array)
            .toString()
            .split(' ')
          if (op === 'welcome') io.welcome()
          else if (op === 'news') io.deliver(rest.join(' '))
          else if (op === 'ok') io.answer(key, rest.join(' '))
          else if (op !== 'alive') return 'unknown'
          return 'taken'
        },
      }),
      encode: (text, key) => ({ frame: `say ${key} ${text}`, proof: 'answer' }),
      probe: () => 'alive?',
    })

  const answer = (text: string, say: Say) => {
    if (text === 'log me in') say('welcome')
    else if (text === 'alive?') say('alive')
    else say(text.replace('say', 'ok'))
  }

  it('holds on to it: a message is delivered, and a drop is followed by the next socket with new keys', async () => {
    const sockets: Socket[] = []
    const { port, open } = await rawServer((socket) => {
      sockets.push(socket)
      talkAs(socket, keyExchange(), answer)
    })
    const link = connect(chat({ url: `tcp://127.0.0.1:${port}`, framing, keyExchange }))
    await link.ready()
    expect((await link.send('hello')).fate).toBe('delivered')
    sockets[0]!.resetAndDestroy()
    await until(() => link.status.state !== 'live')
    await link.ready()
    expect((await link.send('again')).fate).toBe('delivered')
    expect(sockets).toHaveLength(2)
    await link.stop()
    await until(() => open.size === 0)
  })

  it('incident 3.6 one that accepts and fails its key exchange: E2 is next within a second', async () => {
    const met: { name: string; at: number }[] = []
    const endpoint = async (name: string, met_: (socket: Socket) => void) =>
      (
        await rawServer((socket) => {
          met.push({ name, at: performance.now() })
          met_(socket)
        })
      ).port
    const e3 = await endpoint('E3', (socket) => void say(socket, 'no key at all'))
    const e2 = await endpoint('E2', (socket) => talkAs(socket, keyExchange(), answer))
    const targets = [e3, e2].map((port) => ({ url: `tcp://127.0.0.1:${port}`, framing, keyExchange }))
    const link = connect(chat(() => targets))
    await link.ready()
    expect(met.map(({ name }) => name)).toEqual(['E3', 'E2'])
    expect(met[1]!.at - met[0]!.at).toBeLessThan(1_500)
    const lost = link.recording.kept.find(({ to }) => to === 'backoff')
    expect(lost?.reason).toBe('key-exchange-failed')
    await link.stop()
  })
})

it('R63 ending it in any phase leaves no socket and no error', async () => {
  const { port, open } = await rawServer((socket) => void socket.resume())
  const phases: [Dialing, (dialed: Dialed) => boolean][] = [
    [{}, () => true],
    [{}, (dialed) => dialed.pipe !== undefined],
    [{ keyExchange }, (dialed) => dialed.told.includes('opened')],
    [{ url: `tls://127.0.0.1:${port}` }, (dialed) => dialed.told.includes('opened')],
  ]
  for (const [options, reached] of phases) {
    const dialed = dialTo(port, options)
    await until(() => reached(dialed))
    dialed.end()
    await until(() => open.size === 0)
    expect(dialed.losses).toEqual([])
  }
  // one that nobody ended is seen by the server, so the emptiness above means something
  connectTcp(port, '127.0.0.1').on('error', () => undefined)
  await until(() => open.size === 1)
})
