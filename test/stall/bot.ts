/**
 * A bot in a process of its own, which can be told to block: with a link of ours, or with the heartbeat that everybody
 * writes first. The argument says which; orders are {"block": ms}, at once or when the next probe is on its way; each line
 * that it prints is a thing that happened.
 */
import WebSocket from 'ws'
import { onebot } from '../../src/adapter/onebot.ts'
import { connect } from '../../src/link.ts'
import type { LinkOptions } from '../../src/options.ts'
import { argument, obey, print } from '../lab/programs/program.ts'

export interface BotSetup {
  readonly url: string
  readonly kind: 'link' | 'naive'
  readonly options?: Pick<LinkOptions, 'heartbeat' | 'deadlines'>
  /** Blocks for so long as soon as the socket is open and the upgrade is asked for. */
  readonly blockInHandshakeMs?: number
}

export interface BotOrder {
  readonly block: number
  readonly when: 'now' | 'probing'
}

export type BotNews =
  | { readonly event: 'state'; readonly state: string }
  /** The naive bot gave its connection up. */
  | { readonly event: 'gave up' }
  | { readonly event: 'blocks' | 'goes on' }

const EVERY_MS = 5_000

const tell = (news: BotNews) => print(news)

/** Nothing of the process runs: no timer, no socket. */
const block = (ms: number) => {
  tell({ event: 'blocks' })
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
  tell({ event: 'goes on' })
}

let whenProbing: (() => void) | undefined

/** Once the probe has left the process. */
const probed = () => {
  const act = whenProbing
  whenProbing = undefined
  if (act) setImmediate(act)
}

const hold = ({ url, options = {}, blockInHandshakeMs }: BotSetup) => {
  const adapter = onebot({ url })
  const probing = {
    ...adapter,
    probe: (key: string) => {
      probed()
      return adapter.probe!(key)
    },
  }
  connect(probing, { id: 'bot', ...options }).state$.subscribe(({ state }) => {
    tell({ event: 'state', state })
    if (state === 'handshaking' && blockInHandshakeMs) setImmediate(() => block(blockInHandshakeMs))
  })
}

const holdNaively = (url: string) => {
  const ws = new WebSocket(url)
  let alive = true
  ws.on('pong', () => {
    alive = true
  })
  const beat = () => {
    if (!alive) {
      tell({ event: 'gave up' })
      ws.terminate()
      return
    }
    alive = false
    ws.ping()
    probed()
  }
  const timer = setInterval(beat, EVERY_MS)
  ws.on('open', () => tell({ event: 'state', state: 'live' }))
  ws.on('error', () => undefined)
  ws.on('close', () => {
    clearInterval(timer)
    holdNaively(url)
  })
}

const setup = argument<BotSetup>()
if (setup.kind === 'link') hold(setup)
else holdNaively(setup.url)

obey(({ block: ms, when }: BotOrder) => {
  if (when === 'now') block(ms)
  else whenProbing = () => block(ms)
})
