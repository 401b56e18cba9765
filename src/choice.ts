/**
 * Which endpoint a link dials next: where the peer wants its session resumed, if it may be dialed, else the best of those
 * that the adapter names. And what became of each.
 */
import type { Fault } from '../machines/fault.ts'
import type { StateName } from '../machines/link.ts'
import type { Target } from './adapter/adapter.ts'
import { type EndpointBook, isAllowedEndpoint } from './net/endpoints.ts'
import { hostOf, portOf } from './net/resolve.ts'
import type { SessionView } from './session.ts'

/** With another endpoint to try, it is tried so soon, in milliseconds: Lagrange's rule, incident 3. */
const NEXT_ENDPOINT_MS = 1_000

/** The states before the welcome. */
export const isGettingIn = (state: StateName): boolean => state === 'connecting' || state === 'handshaking'

export interface Chosen {
  readonly target: Target
  /** The peer named it, so it must be a public one. */
  readonly suppliedByPeer: boolean
}

export class Choice {
  readonly #book: EndpointBook
  readonly #session: () => SessionView
  readonly #resumeHosts: readonly string[]
  #choices = 1
  #chosen: Chosen | undefined

  constructor(book: EndpointBook, session: () => SessionView, resumeHosts: readonly string[] | undefined) {
    this.#book = book
    this.#session = session
    this.#resumeHosts = resumeHosts ?? []
  }

  pick(targets: readonly Target[]): Chosen {
    this.#choices = targets.length
    const [best] = this.#book.rank(targets.map(({ url }) => url))
    const target = targets.find(({ url }) => url === best) ?? targets[0]!
    const resumeUrl = this.#resumeUrl(target)
    this.#chosen = resumeUrl
      ? { target: { ...target, url: resumeUrl }, suppliedByPeer: true }
      : { target, suppliedByPeer: false }
    return this.#chosen
  }

  /** It is judged before each dial, and the known endpoint serves where it may not be dialed. */
  #resumeUrl({ url }: Target): string | undefined {
    const { endpoint } = this.#session()
    if (endpoint === undefined || this.#resumeHosts.length === 0) return undefined
    const scheme = url.startsWith('wss:') ? 'wss' : 'ws'
    try {
      const verdict = isAllowedEndpoint(endpoint, { hosts: this.#resumeHosts, scheme })
      return verdict.allowed ? verdict.url : undefined
    } catch {
      // hosts that are no rule for this scheme allow nothing
      return undefined
    }
  }

  /** Under what name the governor knows the endpoint that was chosen last. */
  get key(): string | undefined {
    const { url, transport } = this.#chosen?.target ?? {}
    // what is not dialed burdens nobody, and no two links share it
    return url === undefined || transport ? undefined : `${hostOf(url)}:${portOf(url)}`
  }

  /**
   * An attempt ended in this state, before it came to anything or after. Says how soon another endpoint is to be tried,
   * or undefined if the link has to wait for the one it had.
   */
  failed(fault: Fault | null, during: StateName): number | undefined {
    const chosen = this.#chosen
    if (!chosen || !isGettingIn(during)) return undefined
    this.#session().failed(fault ?? { code: 'unknown' }, during === 'handshaking', chosen.suppliedByPeer)
    if (chosen.suppliedByPeer) return this.#session().endpoint === undefined ? NEXT_ENDPOINT_MS : undefined
    this.#book.failed(chosen.target.url)
    if (this.#choices > 1 && !this.#book.allFailedOnce()) return NEXT_ENDPOINT_MS
    return undefined
  }

  /** All have failed: time to look their names up anew, and to back off. */
  startOver(): void {
    if (this.#book.allFailedOnce()) this.#book.resolved()
  }

  connected(ms: number): void {
    if (this.#chosen && !this.#chosen.suppliedByPeer) this.#book.connected(this.#chosen.target.url, ms)
  }

  welcomed(): void {
    if (this.#chosen && !this.#chosen.suppliedByPeer) this.#book.welcomed(this.#chosen.target.url)
  }
}
