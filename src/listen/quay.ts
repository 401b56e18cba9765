/** What the listener and its berths are to each other. */
import type { WebSocketServer } from 'ws'
import type { Fault } from '../../machines/fault.ts'
import type { Clock } from '../clock.ts'
import type { Guarded } from './door.ts'

export interface Quay {
  readonly clock: Clock
  readonly upgrades: WebSocketServer
  /** So long a link waits for its peer in one attempt, and a peer for its link, in milliseconds. */
  readonly waitMs: number
  readonly keepMs: number
  readonly isOpen: boolean
  /** What is said of a peer that did not come. */
  absence(): string
  /** The port stays open until the returned function is called. */
  attend(berth: Moored): () => void
}

export interface Moored extends Guarded {
  /** The port is open. */
  opened(): void
  /** It is not: whoever waits for somebody to come through it waits in vain. */
  fail(fault: Fault): void
  /** Nobody waits here any more. */
  close(): void
}
