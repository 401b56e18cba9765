/** Where a link waits for a peer that dials us: all that an adapter sees of a listener (src/listen). */
import type { Observable } from 'rxjs'
import type { Secret } from './secret.ts'
import type { OpenTransport } from './transport/transport.ts'

/** A link's place at a listener. */
export interface Berth {
  /** For `Target.transport`. One link at a time waits here. */
  readonly transport: OpenTransport
  /**
   * For `Adapter.arrivals$`: the peer has come while no attempt was under way. The port is open for as long as anybody
   * listens to this, so a peer that comes between two attempts finds it.
   */
  readonly arrivals$: Observable<void>
}

/** By their names in lower case. */
export type CallerHeaders = Readonly<Record<string, string | undefined>>

/** Whom a berth is for. */
export interface BerthTerms {
  /** Where the peer calls, such as `/onebot`; `/` unless told. */
  readonly path?: string
  /** Who is awaited. Without it, whoever comes first, and nobody else while that one is here. */
  readonly identity?: string
  /** Who a caller says it is; undefined if it does not say, and then it is not let in. */
  identify(headers: CallerHeaders): string | undefined
  /** Why a caller cannot be served, whoever it is: a text for the one who set it up. It is answered with HTTP 400. */
  objection?(headers: CallerHeaders): string | undefined
}

export interface WebSocketTerms extends BerthTerms {
  /** What the peer has to show as `Authorization: Bearer …`. Default: the token of the listener. */
  readonly token?: string | Secret
}

/** Posts come with a proof of their own each, such as a signature. */
export interface WebhookTerms extends BerthTerms {
  /**
   * Whether a post is from the peer, by its headers and the bytes of its body. Compare in constant time (`tokenCheck` of
   * holdfast/listen). One that is not is answered with HTTP 403.
   */
  verify(headers: CallerHeaders, body: Uint8Array): boolean
  /**
   * True while nothing more can be held: posts are answered with 503 and `Retry-After`, as while there is no transport, and a
   * sender that keeps its events sends them again.
   */
  isFull?(): boolean
  /** A bigger body is refused. Default 1 MiB. */
  readonly bytesMax?: number
  /** A body that came before, within so many milliseconds, is answered and dropped. Default 600,000. */
  readonly dedupeMs?: number
}

/** One port where peers arrive, and many links wait: `listener()` of holdfast/listen makes one. */
export interface Listener {
  /** A place at which a peer arrives by WebSocket. Throws HoldfastError `bad-option` for terms that cannot be kept. */
  webSocket(terms: WebSocketTerms): Berth
  /**
   * A place at which a peer posts what happens: each body is a frame for `readAnswer` of kind `posted`. It is answered with
   * 204 when the link has it, and with 503 while there is no transport of the link or `isFull` says so.
   */
  webhook(terms: WebhookTerms): Berth
  /** Where it listens now; 0 while it does not. */
  readonly port: number
}
