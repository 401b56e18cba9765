/**
 * A bot in a process of its own that sends all the time. Each line that it prints is JSON, written at once: what it is
 * about to send, what was accepted, what became of each message, what it was given, and of what it was warned.
 */
import { writeSync } from 'node:fs'
import { fileStore } from '../../src/file-store.ts'
import { loadHandOver, saveHandOver } from '../../src/hand-over.ts'
import { connect } from '../../src/link.ts'
import { stopOnSignals } from '../../src/signals.ts'
import { gatewayAdapter } from '../gateway.ts'
import { argument } from '../lab/programs/program.ts'

export interface BotSetup {
  readonly url: string
  /** The folder of its store; without it there is none. */
  readonly dir?: string
  /** Where it leaves a hand-over on SIGTERM, and looks for one. */
  readonly file?: string
  /** Its messages are called `life.number`. */
  readonly life: number
  /** Milliseconds between two messages; 0 for one that sends nothing, and ends when nothing waits any more. */
  readonly everyMs: number
  /** Messages that the platform takes in a second. Default: no limit. */
  readonly perSecond?: number
  /** Which messages have an idempotency key: each of so many. 0 for none. */
  readonly idempotentEach: number
}

export type BotNews =
  | { readonly event: 'live' }
  | { readonly event: 'sends' | 'accepted'; readonly text: string; readonly key: string; readonly idempotent: boolean }
  | { readonly event: 'settled'; readonly key: string; readonly fate: string; readonly recovered: boolean }
  | { readonly event: 'got' | 'warned' | 'continuity'; readonly text: string }

const CONVERSATIONS = 3

const tell = (news: BotNews): void => void writeSync(1, `${JSON.stringify(news)}\n`)

const { url, dir, file, life, everyMs, perSecond, idempotentEach } = argument<BotSetup>()
process.on('warning', ({ message }) => tell({ event: 'warned', text: message }))

const adapter = gatewayAdapter({ target: { url } })
let lastKey = ''
const link = connect(
  {
    ...adapter,
    ...(perSecond && { pace: { count: perSecond / 10, ms: 100 } }),
    encode: (text: string, key: string) => {
      lastKey = key
      return adapter.encode!(text, key)
    },
  },
  {
    id: 'bot',
    proxy: false,
    ...(dir && { store: fileStore(dir) }),
    handOver: file === undefined ? undefined : await loadHandOver(file),
  },
)
link.settled$.subscribe(({ key, fate, recovered }) => tell({ event: 'settled', key, fate, recovered }))
link.inbound$.subscribe(({ text }) => tell({ event: 'got', text: String(text) }))
link.continuity$.subscribe(({ kind }) => tell({ event: 'continuity', text: kind }))
if (file) stopOnSignals([link], { handOver: async (each) => saveHandOver(file, await each.handOver()) })

let sent = 0
const send = () => {
  const text = `${life}.${sent++}`
  const idempotent = idempotentEach > 0 && sent % idempotentEach === 0
  // before it is sent, so that nothing is at the platform that nobody told of
  tell({ event: 'sends', text, key: '', idempotent })
  const sending = link.send(text, {
    conversation: `c${sent % CONVERSATIONS}`,
    ...(idempotent && { idempotencyKey: text }),
  })
  const key = lastKey
  sending.accepted.then(
    () => tell({ event: 'accepted', text, key, idempotent }),
    () => undefined,
  )
}

if (everyMs > 0) setInterval(send, everyMs)
await link.ready()
tell({ event: 'live' })
if (everyMs === 0 && !file) {
  while (link.stats.outbox.waiting > 0) await new Promise((resolve) => setTimeout(resolve, 20))
  await link.stop()
  process.exit()
}
