/** Who is let in, and to which berth: by path, token and identity, before anything of a request is answered. */
import type { BerthTerms } from '../berth.ts'
import type { Clock } from '../clock.ts'
import type { Caller, Refusal } from './caller.ts'
import { Failures } from './failures.ts'

/** A berth as the door sees it. */
export interface Guarded {
  readonly terms: BerthTerms
  /** Who is there now, if anybody is. */
  readonly present: string | undefined
  /** Why the latest of those who may have been meant for it was sent away. */
  refused: Refusal | undefined
  /** Whether what the caller shows opens it. Takes as long for a wrong token as for the right one. */
  opensFor(caller: Caller): boolean
}

export interface Admitted<B> {
  readonly berth: B
  readonly identity: string
  /** Ends the visit of whoever turns out to be a fraud, and remembers it. */
  reject(refusal: Refusal): Refusal
}

export class Door {
  readonly #failures: Failures

  constructor(clock: Clock) {
    this.#failures = new Failures(clock)
  }

  /** `here` are the berths at the path of the caller. */
  admit<B extends Guarded>(caller: Caller, here: readonly B[]): Refusal | Admitted<B> {
    const identity = ask(() => here[0]?.terms.identify(caller.headers))
    const meant = here.filter(({ terms }) => identity !== undefined && terms.identity === identity)
    const key = JSON.stringify([caller.address, meant[0]?.terms.identity])
    const concerned = meant.length > 0 ? meant : here
    const reject = (refusal: Refusal): Refusal => {
      if (refusal.status === 401 || refusal.status === 403) this.#failures.note(key)
      for (const berth of concerned) berth.refused = refusal
      return refusal
    }
    const refusal = this.#failures.refusal(key) ?? objection(caller, here)
    if (refusal) return reject(refusal)
    const berth = choose(caller, here, identity)
    if ('status' in berth) return reject(berth)
    berth.refused = undefined
    return { berth, identity: identity ?? '', reject }
  }
}

const objection = (caller: Caller, here: readonly Guarded[]): Refusal | undefined => {
  if (here.length === 0) return { status: 404, reason: 'no link waits at this path' }
  return caller.isAmbiguous ? { status: 400, reason: 'a header that decides was sent twice' } : undefined
}

const choose = <B extends Guarded>(caller: Caller, here: readonly B[], identity: string | undefined): B | Refusal => {
  // each is asked, so that the time does not tell which one it was
  const open = here.filter((berth) => berth.opensFor(caller))
  const [first] = open
  if (!first) return { status: 401, reason: `the token is ${caller.token === undefined ? 'missing' : 'wrong'}` }
  const unfit = ask(() => first.terms.objection?.(caller.headers))
  if (unfit !== undefined) return { status: 400, reason: unfit }
  if (identity === undefined) return { status: 400, reason: 'the caller does not say who it is' }
  const fits = open.find(({ terms }) => terms.identity === identity) ?? open.find((berth) => isFree(berth, identity))
  return fits ?? { status: 403, reason: `no link waits for ${JSON.stringify(identity.slice(0, 32))}` }
}

/** Whoever came first holds a berth that is for anybody, for as long as it is there. */
const isFree = ({ terms, present }: Guarded, identity: string): boolean =>
  terms.identity === undefined && (present ?? identity) === identity

/** An adapter may be somebody else's: one that throws has not recognized the caller. */
const ask = (question: () => string | undefined): string | undefined => {
  try {
    return question()
  } catch {
    return undefined
  }
}
