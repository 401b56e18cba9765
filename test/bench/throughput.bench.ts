/** Messages per second across a live link, beside plain `ws` in the same run; the other end is a process of its own. */
import { fork } from 'node:child_process'
import { join } from 'node:path'
import WebSocket from 'ws'
import { defineAdapter, type Frame } from '../../src/adapter/adapter.ts'
import { connect } from '../../src/link.ts'
import { median, type Report } from './report.ts'

const MESSAGES = 200_000
const SIZE = 200
const ROUNDS = 7
/** A sender in real life waits now and then; both sides yield to the event loop after as many messages. */
const BURST = 500
const body = 'x'.repeat(SIZE)

const plain = defineAdapter<Frame, string>({
  name: 'plain',
  target: { url: 'ws://127.0.0.1:1/' },
  dialogue: (io) => ({
    frame: (frame) => {
      if (frame === 'hello') io.welcome()
      else io.deliver(frame)
      return 'taken'
    },
  }),
  encode: (frame) => ({ frame }),
})

const bySeconds = (begun: number): number => (MESSAGES / (performance.now() - begun)) * 1000
const turn = () => new Promise((resolve) => setImmediate(resolve))

const rawInbound = (url: string): Promise<number> =>
  new Promise((resolve) => {
    const socket = new WebSocket(`${url}/flood?${MESSAGES}`, { perMessageDeflate: false })
    let seen = 0
    let begun = 0
    socket.on('message', (data: Buffer, isBinary: boolean) => {
      const text = isBinary ? data : data.toString('utf8')
      if (text === 'hello') {
        begun = performance.now()
        socket.send('go')
      } else if (++seen === MESSAGES) {
        socket.terminate()
        resolve(bySeconds(begun))
      }
    })
  })

const heldInbound = async (url: string): Promise<number> => {
  const link = connect({ ...plain, target: () => ({ url: `${url}/flood?${MESSAGES}` }) })
  await link.ready()
  const begun = performance.now()
  const speed = new Promise<number>((resolve) => {
    let seen = 0
    link.inbound$.subscribe(() => {
      if (++seen === MESSAGES) resolve(bySeconds(begun))
    })
  })
  void link.send('go')
  const result = await speed
  await link.stop({ drainMs: 0 })
  return result
}

const rawOutbound = (url: string): Promise<number> =>
  new Promise((resolve) => {
    const socket = new WebSocket(`${url}/sink?${MESSAGES}`, { perMessageDeflate: false })
    let begun = 0
    socket.on('message', async (data: Buffer) => {
      if (data.toString('utf8') !== 'hello') {
        socket.terminate()
        return resolve(bySeconds(begun))
      }
      begun = performance.now()
      for (let i = 0; i < MESSAGES; i++) {
        socket.send(body)
        if (i % BURST === 0) await turn()
      }
    })
  })

const heldOutbound = async (url: string): Promise<number> => {
  const link = connect(
    { ...plain, target: () => ({ url: `${url}/sink?${MESSAGES}` }) },
    { outbox: { messagesMax: 100_000, bytesMax: 2 ** 28 } },
  )
  await link.ready()
  const begun = performance.now()
  const speed = new Promise<number>((resolve) => {
    link.inbound$.subscribe(() => resolve(bySeconds(begun)))
  })
  for (let i = 0; i < MESSAGES; i++) {
    void link.send(body)
    if (i % BURST === 0) await turn()
  }
  const result = await speed
  await link.stop({ drainMs: 0 })
  return result
}

export const bench = async (report: Report): Promise<void> => {
  const peer = fork(join(process.cwd(), 'test/bench/flood-peer.mjs'), [String(SIZE)])
  const port = await new Promise<number>((resolve) => peer.once('message', (message) => resolve(Number(message))))
  const url = `ws://127.0.0.1:${port}`
  for (const [name, raw, held] of [
    ['inbound', rawInbound, heldInbound],
    ['outbound, each with its fate', rawOutbound, heldOutbound],
  ] as const) {
    const ratios: number[] = []
    const speeds: [number, number][] = []
    for (let i = 0; i < ROUNDS; i++) {
      // in turn, so that a slow moment of the machine hits both
      const pair: [number, number] = i % 2 === 0 ? [await raw(url), await held(url)] : [0, 0]
      if (i % 2 === 1) {
        pair[1] = await held(url)
        pair[0] = await raw(url)
      }
      if (i > 0) ratios.push(pair[1] / pair[0])
      speeds.push(pair)
    }
    const [rawSpeed, heldSpeed] = [median(speeds.map(([r]) => r)), median(speeds.map(([, h]) => h))]
    const value = `${median(ratios).toFixed(2)} (${Math.round(heldSpeed)} / ${Math.round(rawSpeed)} a second)`
    report(`${name}, ${SIZE} bytes: holdfast / ws (median of ${ROUNDS - 1})`, value, '>= 0.9', median(ratios) >= 0.9)
  }
  peer.disconnect()
}
