/** The command line's side of an inspector: a viewer like the page, and the picture that it keeps. */
import { WebSocket } from 'ws'
import { HoldfastError, textOf } from '../error.ts'
import {
  type Agg,
  type Change,
  type Hello,
  PROTOCOL,
  type Row,
  type ServerMessage,
  STREAM,
  TOKEN_KEY,
  type ViewerMessage,
} from '../observe/inspect/protocol.ts'

export interface View {
  send(message: ViewerMessage): void
  close(): void
  /** Resolves to the words for it when the connection has ended, by us or by the inspector. */
  readonly ended: Promise<string>
}

/** Ten thousand links and the history of one. */
const PAYLOAD_BYTES_MAX = 64 * 1024 ** 2

/** Throws HoldfastError `bad-option` for what is no URL of an inspector. */
export const view = (url: string, hear: (message: ServerMessage) => void): View => {
  const { stream, origin, token } = readUrl(url)
  const socket = new WebSocket(stream, { origin, maxPayload: PAYLOAD_BYTES_MAX, perMessageDeflate: false })
  const send = (message: ViewerMessage) => {
    if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message))
  }
  let failure = ''
  socket.on('open', () => send({ t: 'auth', token }))
  const fail = (error: unknown) => {
    failure ||= textOf(error)
    socket.terminate()
  }
  socket.on('message', (data) => {
    try {
      hear(JSON.parse(String(data)))
    } catch (error) {
      // not an inspector, or not of our version
      fail(error)
    }
  })
  socket.on('error', fail)
  const ended = new Promise<string>((resolve) => {
    socket.on('close', (_code, reason) => resolve(failure || String(reason) || 'the connection broke'))
  })
  return { send, close: () => socket.terminate(), ended }
}

const readUrl = (text: string) => {
  const url = URL.canParse(text) ? new URL(text) : undefined
  const token = url && new URLSearchParams(url.hash.slice(1)).get(TOKEN_KEY)
  if (!url || !/^https?:$/.test(url.protocol) || !token) {
    const like = `http://127.0.0.1:1234/#${TOKEN_KEY}=…`
    throw new HoldfastError(
      'bad-option',
      `Say which inspector: the URL that it printed, with its token, such as ${like}`,
    )
  }
  const stream = new URL(STREAM, url)
  stream.protocol = url.protocol === 'http:' ? 'ws:' : 'wss:'
  return { stream, origin: url.origin, token }
}

/** What the stream adds up to. */
export class Picture {
  hello: Hello | undefined
  agg: Agg | undefined
  readonly rows = new Map<number, Row>()
  /** All links that were there at the beginning are known. */
  isWhole = false

  hear(message: ServerMessage): void {
    if (message.t === 'hello') this.#greet(message)
    else if (message.t === 'agg') this.agg = message
    else if (message.t === 'snap') {
      for (const row of message.rows) this.rows.set(row[0], row)
      this.isWhole ||= !message.more
    } else if (message.t === 'delta') {
      for (const row of message.added) this.rows.set(row[0], row)
      for (const change of message.changes) this.#change(change)
      for (const index of message.gone) this.rows.delete(index)
    }
  }

  #greet(hello: Hello): void {
    if (hello.protocol !== PROTOCOL)
      throw new HoldfastError('bad-option', `The inspector speaks ${hello.protocol}, this is ${PROTOCOL}.`)
    this.hello = hello
  }

  #change([index, ...rest]: Change): void {
    const row = this.rows.get(index)
    if (row) this.rows.set(index, [index, row[1], row[2], ...rest])
  }

  stateOf(row: Row): string {
    return this.hello?.states[row[3]] ?? '?'
  }

  /** Empty for none. */
  faultOf(row: Row): string {
    return this.hello?.faults[row[6]]?.code ?? ''
  }
}
