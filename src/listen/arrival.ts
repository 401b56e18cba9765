/** A peer that has asked for an upgrade and was found right: until a link takes it, it is not answered. */
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import type { WebSocket, WebSocketServer } from 'ws'
import type { Clock, Timer } from '../clock.ts'
import { type Refusal, refuseUpgrade } from './caller.ts'

/** A peer that is kept may not say much before it is answered. */
const EARLY_BYTES_MAX = 64 * 1024

export const NOT_READY: Refusal = { status: 503, reason: 'the link that waits for you is not ready', retryAfterS: 5 }

export class Arrival {
  readonly identity: string
  readonly socket: Duplex
  readonly #request: IncomingMessage
  readonly #early: Buffer[]
  #timer: Timer | undefined
  #unwatch: () => void = () => undefined

  constructor(identity: string, request: IncomingMessage, socket: Duplex, head: Buffer) {
    this.identity = identity
    this.socket = socket
    this.#request = request
    this.#early = [head]
  }

  /** `gone` is called when it has left, or has waited so long that it was sent away. */
  keep(clock: Clock, forMs: number, gone: () => void): void {
    const leave = () => {
      this.#unwatch()
      this.socket.destroy()
      gone()
    }
    let bytes = 0
    const read = (chunk: Buffer) => {
      this.#early.push(chunk)
      bytes += chunk.byteLength
      if (bytes > EARLY_BYTES_MAX) leave()
    }
    this.#timer = clock.setTimeout(() => {
      this.refuse(NOT_READY)
      gone()
    }, forMs)
    // a socket that nobody reads does not tell that its other end has left
    this.socket.on('data', read).once('end', leave).once('close', leave)
    this.#unwatch = () => {
      clock.clearTimeout(this.#timer)
      this.socket.off('data', read).off('end', leave).off('close', leave)
    }
  }

  refuse(refusal: Refusal): void {
    this.#unwatch()
    refuseUpgrade(this.socket, refusal)
  }

  /** Undefined if it does not ask for a WebSocket after all; then it has been answered. */
  accept(upgrades: WebSocketServer): WebSocket | undefined {
    this.#unwatch()
    let accepted: WebSocket | undefined
    upgrades.handleUpgrade(this.#request, this.socket, Buffer.concat(this.#early), (ws) => {
      accepted = ws
    })
    return accepted
  }
}
