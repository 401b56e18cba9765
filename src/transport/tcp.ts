/**
 * Frames on one bare socket, TLS or not, that we dialed ourselves. The framing of the target says where a frame ends; with a
 * key exchange the transport is open when the keys are agreed on, and every frame is sealed. All of it is of this socket
 * alone: half a frame, keys and counters are gone with it.
 */
import type { Socket } from 'node:net'
import type { Fault, FaultCode } from '../../machines/fault.ts'
import type { Frame } from '../adapter/adapter.ts'
import type { Timer } from '../clock.ts'
import { faultFrom, textOf } from '../error.ts'
import type { FrameDecoder, Framing } from '../framing.ts'
import type { KeyExchange, Sealer } from '../key-exchange.ts'
import type { DialPath } from '../net/dial.ts'
import { type DialedOptions, dialTarget } from './dialed.ts'
import { endOf, flush, gather } from './socket.ts'
import type { OpenTransport, TransportListener } from './transport.ts'

export interface TcpOptions extends DialedOptions {
  /** For the key exchange, from the socket that stands to the peer's hello; absolute, in milliseconds. */
  readonly upgradeMs: number
}

export const openTcp =
  (options: TcpOptions): OpenTransport =>
  (listener) => {
    const transport = new TcpTransport(options, listener)
    transport.dial()
    return () => transport.end()
  }

class TcpTransport {
  readonly #options: TcpOptions
  readonly #listener: TransportListener
  readonly #framing: Framing
  readonly #decoder: FrameDecoder
  #cancelDial: () => void = () => undefined
  #socket: Socket | undefined
  #deadline: Timer | undefined
  /** Until the peer's hello has come. */
  #exchange: KeyExchange | undefined
  #sealer: Sealer | undefined
  #hasOpened = false
  #hasHeard = false
  #isEnded = false

  constructor(options: TcpOptions, listener: TransportListener) {
    this.#options = options
    this.#listener = listener
    // the target was checked to have one
    this.#framing = options.target.framing!
    this.#decoder = this.#framing.decoder(options.maxPayloadBytes)
  }

  dial(): void {
    this.#cancelDial = dialTarget(this.#options, {
      connected: () => this.#listener.opened(),
      opened: (socket, path) => this.#take(socket, path),
      failed: (error) => this.#lose(faultFrom(error, 'connecting')),
    })
  }

  end(): void {
    if (this.#isEnded) return
    this.#isEnded = true
    this.#options.clock.clearTimeout(this.#deadline)
    this.#cancelDial()
    if (!this.#socket) return
    flush(this.#socket)
    this.#socket.destroy()
  }

  #lose(fault: Fault): void {
    if (this.#isEnded) return
    this.end()
    this.#listener.lost(fault)
  }

  #take(socket: Socket, path: DialPath): void {
    this.#socket = socket
    // also after destroy(): a late error must not become an uncaught exception
    socket.on('error', (error) => this.#cut('connection-lost', endOf(error, undefined)))
    socket.once('end', () => this.#finished())
    socket.once('close', () => this.#cut('connection-lost', endOf(undefined, undefined)))
    this.#options.dialed?.(path)
    // whoever heard that may have called it off
    if (this.#isEnded) return
    socket.on('data', (chunk) => this.#read(chunk))
    socket.on('drain', () => {
      if (!this.#isEnded) this.#listener.drained()
    })
    if (this.#options.target.keyExchange) this.#greet(this.#options.target.keyExchange)
    else this.#open()
  }

  /** What accepts and lets go before it said a word is often a proxy whose peer is down. */
  #cut(code: FaultCode, detail: string): void {
    this.#lose({ code: this.#hasHeard ? code : 'dropped', detail })
  }

  #finished(): void {
    if (this.#decoder.isWithin) this.#cut('connection-lost', 'the peer ended the connection in the middle of a frame')
    else this.#cut('closed-by-peer', 'the peer ended the connection')
  }

  #greet(keyExchange: () => KeyExchange): void {
    const { clock, upgradeMs } = this.#options
    const late = { code: 'handshake-timeout', detail: `no key of the peer within ${upgradeMs} ms` } as const
    this.#deadline = clock.setTimeout(() => this.#lose(late), upgradeMs)
    try {
      this.#exchange = keyExchange()
      this.#write(this.#exchange.begin())
    } catch (error) {
      this.#lose({ code: 'key-exchange-failed', detail: textOf(error) })
    }
  }

  #open(): void {
    this.#listener.ready({
      send: (frame) => this.#send(frame),
      ping: () => {
        throw new Error('TCP has no ping: the adapter needs a probe, and a proof for each of its frames')
      },
      bufferedBytes: () => this.#socket?.writableLength ?? 0,
      close: () => this.#socket?.end(),
    })
  }

  #send(frame: Frame): void {
    if (this.#isEnded) return
    try {
      const bytes = typeof frame === 'string' ? Buffer.from(frame) : frame
      this.#write(this.#sealer ? this.#sealer.seal(bytes) : bytes)
    } catch (error) {
      // a frame that is too big for its prefix: the adapter should have refused it
      this.#lose({ code: 'adapter-failed', detail: textOf(error) })
    }
  }

  #write(frame: Uint8Array): void {
    const bytes = this.#framing.encode(frame)
    gather(this.#socket!)
    this.#socket!.write(bytes)
  }

  #read(chunk: Uint8Array): void {
    this.#hasHeard = true
    try {
      for (const frame of this.#decoder.push(chunk)) {
        // a frame before this one may have ended us
        if (this.#isEnded) return
        this.#frame(frame)
      }
    } catch (error) {
      const { code, ...told } = faultFrom(error, 'open')
      this.#lose({ ...told, code: code === 'unknown' ? 'protocol-violated' : code })
    }
    if (!this.#isEnded && !this.#exchange) this.#listener.inbound()
  }

  #frame(frame: Uint8Array): void {
    if (this.#exchange) {
      this.#agree(this.#exchange, frame)
      return
    }
    const opened = this.#sealer ? this.#unseal(this.#sealer, frame) : frame
    if (opened) this.#listener.frame(opened)
  }

  #agree(exchange: KeyExchange, hello: Uint8Array): void {
    try {
      this.#sealer = exchange.accept(hello)
    } catch (error) {
      this.#lose({ code: 'key-exchange-failed', detail: textOf(error) })
      return
    }
    this.#exchange = undefined
    this.#options.clock.clearTimeout(this.#deadline)
    this.#open()
  }

  /** Before the first frame was opened nobody knows that both have the same keys. */
  #unseal(sealer: Sealer, frame: Uint8Array): Uint8Array | undefined {
    try {
      const opened = sealer.open(frame)
      this.#hasOpened = true
      return opened
    } catch (error) {
      const code = this.#hasOpened ? 'protocol-violated' : 'key-exchange-failed'
      this.#lose({ code, detail: `a frame could not be opened: ${textOf(error)}` })
      return undefined
    }
  }
}
