/** The connection to the inspected process: authenticates, applies what comes, comes back after a loss and says so. */
import { batch, effect } from '@preact/signals'
import { CLOSE, type ServerMessage, type ViewerMessage } from '../src/observe/inspect/protocol.ts'
import { faultWord } from './fault-words.ts'
import { Fleet } from './fleet.ts'
import {
  aggregate,
  answers,
  applyWanted,
  changed,
  choose,
  chosenIndex,
  connection,
  fleet,
  gone,
  isChosen,
  membership,
  moved,
  orders,
  paused,
  refresh,
  replaying,
  shown,
  source,
} from './store.ts'
import { word } from './words.ts'

const AGAIN_MS = 500
const AGAIN_MAX_MS = 10_000
/** A subscription follows the cursor, but not through every link that it passes. */
const SETTLE_MS = 120
const ANSWERS_MAX = 6

export const streamUrl = (): string => `${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/stream`

export const startStream = (token: string): void => {
  let socket: WebSocket | undefined
  let tries = 0
  let orderNumber = 0
  let subscribed = -1
  /** Name of the chosen link, so that it is found again in a process that was restarted. */
  let chosenId: string | undefined

  const send = (message: ViewerMessage) => {
    if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message))
  }

  const subscribe = () => {
    if (replaying.peek() || subscribed === chosenIndex.peek()) return
    subscribed = chosenIndex.peek()
    chosenId = fleet.peek()?.link(subscribed)?.id ?? chosenId
    send({ t: 'sub', indexes: subscribed < 0 ? [] : [subscribed] })
  }

  const join = () => {
    membership.value++
    if (replaying.peek() || chosenIndex.peek() >= 0) return
    applyWanted()
    if (chosenIndex.peek() >= 0) return
    const named = (wanted: string | undefined) => source.peek()?.links.find(({ id }) => id === wanted)
    const again = named(chosenId)
    const first = again ?? named(fleet.peek()?.hello.labLink) ?? shown.peek()[0]
    choose(first?.index ?? -1, again !== undefined && isChosen.peek())
  }

  /** What a person looked at stays on the page, and is said to be gone; what nobody chose gives way to another. */
  const leave = (indexes: readonly number[], id: string | undefined) => {
    if (id === undefined || replaying.peek() || !indexes.includes(chosenIndex.peek())) return
    if (isChosen.peek()) gone.value = id
    else choose(-1, false)
  }

  const receive = (message: ServerMessage) => {
    const known = fleet.peek()
    if (message.t === 'hello') {
      fleet.value = new Fleet(message)
      subscribed = -1
      if (!replaying.peek()) {
        chosenIndex.value = -1
        gone.value = null
      }
      connection.value = { phase: 'open' }
      tries = 0
      return changed()
    }
    if (!known) return
    switch (message.t) {
      case 'snap':
        known.add(message.rows)
        if (!message.more) join()
        return changed()
      case 'delta':
        leave(message.gone, known.link(chosenIndex.peek())?.id)
        known.apply(message)
        if (message.added.length + message.gone.length > 0) join()
        changed()
        return paintedMark(message.at)
      case 'history':
        known.begins(message)
        // it was asked for: whoever chooses a link wants to see it, paused or not
        return refresh()
      case 'tx': {
        const own = known.record(message)
        if (!replaying.peek() && !paused.peek() && own.length > 0) moved.value = own
        return changed(own.length + message.lost)
      }
      case 'agg':
        aggregate.value = message
        return
      case 'done':
        answers.value = answers
          .peek()
          .map((each) => (each.n === message.n ? { ...each, error: message.error ?? null } : each))
    }
  }

  const open = () => {
    if (connection.peek().phase !== 'stale') connection.value = { phase: 'connecting' }
    const own = new WebSocket(streamUrl())
    socket = own
    own.onopen = () => send({ t: 'auth', token })
    own.onmessage = ({ data }) => {
      const message = parse(data)
      if (message) batch(() => receive(message))
    }
    own.onclose = ({ code }) => {
      fleet.peek()?.freeze()
      if (code === CLOSE.unauthorized) connection.value = { phase: 'refused' }
      else if (code === CLOSE.malformed) connection.value = { phase: 'malformed' }
      else later()
    }
  }

  const later = () => {
    const before = connection.peek()
    const wait = Math.min(AGAIN_MAX_MS, AGAIN_MS * 2 ** tries++) * (0.75 + Math.random() / 4)
    const since = before.phase === 'stale' ? before.since : performance.now()
    connection.value = { phase: 'stale', since, againAt: performance.now() + wait }
    setTimeout(open, wait)
  }

  orders.send = (cmd, more) => {
    const n = ++orderNumber
    const what = cmd === 'fault' ? faultWord(more.fault ?? '') : word(cmd)
    const whom = cmd === 'fault' ? undefined : fleet.peek()?.link(more.index ?? -1)?.id
    const about = { n, what: [what, whom].filter(Boolean).join(' '), isFault: cmd === 'fault' }
    const sent = socket?.readyState === WebSocket.OPEN
    const answer = sent ? about : { ...about, error: word('notConnected') }
    answers.value = [answer, ...answers.peek()].slice(0, ANSWERS_MAX)
    send({ t: 'cmd', n, cmd, ...more })
  }

  let settle: number | undefined
  effect(() => {
    chosenIndex.value
    replaying.value
    clearTimeout(settle)
    settle = setTimeout(subscribe, SETTLE_MS) as unknown as number
  })
  open()
}

const parse = (data: unknown): ServerMessage | undefined => {
  try {
    return JSON.parse(String(data))
  } catch {
    return undefined
  }
}

/** For whoever measures: the moment at which a delta was on the screen. Nothing is kept. */
const paintedMark = (at: number): void => {
  requestAnimationFrame(() => {
    const { port1, port2 } = new MessageChannel()
    port1.onmessage = () => {
      port1.close()
      performance.mark('holdfast.painted', { detail: at })
      performance.clearMarks('holdfast.painted')
    }
    port2.postMessage(0)
  })
}
