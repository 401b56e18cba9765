/**
 * One link under a flood, alone in its process so that the peak of its memory is its own: `inbound` or `outbound`, how
 * many messages, and how many of them may wait. The transport is a function. Prints what came of it as JSON.
 */
import { defineAdapter } from '../../dist/adapter.mjs'
import { connect } from '../../dist/index.mjs'

const [direction, count, waitingMax] = process.argv.slice(2).map((arg) => (/^\d+$/.test(arg) ? Number(arg) : arg))

/** So many messages arrive while the reader takes one. */
const AHEAD = 10
const SENT_PER_TURN = 100
const SAMPLE_EVERY = 1_000
const text = 'x'.repeat(1_000)

const turn = () => new Promise((resolve) => setImmediate(resolve))

let heapPeak = 0
const rssSeen = []
let samples = 0
const sample = () => {
  if (samples++ % SAMPLE_EVERY > 0) return
  const { heapUsed, rss } = process.memoryUsage()
  heapPeak = Math.max(heapPeak, heapUsed)
  rssSeen.push(rss)
}

const adapter = defineAdapter({
  name: 'flood',
  target: { url: 'ws://127.0.0.1:1/' },
  dialogue: (io) => ({
    frame: (raw) => {
      const message = JSON.parse(raw)
      if (message.op === 'hello') io.welcome()
      else io.deliver(message, { id: `${message.n}`, cursor: message.n })
      return 'taken'
    },
  }),
  encode: (message) => ({ frame: JSON.stringify(message) }),
})

/** A transport that is open at once, and pours out what there is as fast as the process can turn. */
const pouring = () => (listener) => {
  let n = 0
  let ended = false
  const pour = () => {
    if (ended) return
    for (let i = 0; i < AHEAD && n < count; i++, n++) listener.frame(`{"op":"news","n":${n},"text":"${text}"}`)
    listener.inbound()
    if (n < count) setImmediate(pour)
  }
  setImmediate(() => {
    listener.opened()
    const pipe = { send: () => undefined, ping: () => undefined, bufferedBytes: () => 0, close: () => undefined }
    listener.ready(pipe)
    listener.frame('{"op":"hello"}')
    pour()
  })
  return () => {
    ended = true
  }
}

const inbound = async () => {
  const link = connect(adapter, { transport: pouring, inbound: { messagesMax: waitingMax } })
  let read = 0
  for await (const _ of link) {
    read++
    sample()
    const { arrived, dropped, waiting } = link.stats.inbound
    if (arrived === count) {
      await link.stop({ drainMs: 0 })
      return { read, dropped, waiting }
    }
    await turn()
  }
}

const outbound = async () => {
  // a transport that never opens: the link is down
  const link = connect(adapter, {
    transport: () => () => () => undefined,
    outbox: { messagesMax: waitingMax, bytesMax: 2 ** 30 },
  })
  const fates = { delivered: 0, expired: 0, refused: 0, uncertain: 0 }
  let settled = 0
  for (let n = 0; n < count; n++) {
    sample()
    void link.send({ op: 'say', n, text }).then(({ fate }) => {
      fates[fate]++
      settled++
    })
    if (n % SENT_PER_TURN === 0) await turn()
  }
  await turn()
  const { waiting } = link.stats.outbox
  const settledBefore = settled
  await link.stop({ drainMs: 0 })
  await turn()
  return { settledBefore, waiting, ...fates, inAll: settled }
}

const begun = performance.now()
const came = direction === 'inbound' ? await inbound() : await outbound()
const seconds = (performance.now() - begun) / 1000
// once it has found its level: the median of the second half
const late = rssSeen.slice(rssSeen.length >> 1).sort((a, b) => a - b)
const rss = late[late.length >> 1]
console.log(JSON.stringify({ ...came, seconds, heapPeak, rss, rssPeak: process.resourceUsage().maxRSS * 1024 }))
