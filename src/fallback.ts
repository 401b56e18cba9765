/** While a link is down for long, its messages go over another channel of the user's, until it is live again. */
import type { Observable } from 'rxjs'
import type { StateName } from '../machines/link.ts'
import type { Timer } from './clock.ts'
import type { LinkStatus } from './explain.ts'
import type { ListenerErrors } from './guarded.ts'
import type { CheckedOptions } from './options.ts'
import type { FallbackSend, Handed, Outbox } from './outbox/outbox.ts'

/** Neither of these waits for a link to come back. */
const UP_OR_OVER: ReadonlySet<StateName> = new Set(['live', 'closing', 'stopped'])

/** Does nothing without the option. What its function throws is counted and warned of, and means "not delivered". */
export const standIn = (
  { fallback, clock }: CheckedOptions,
  status$: Observable<LinkStatus>,
  outbox: Outbox,
  errors: ListenerErrors,
): void => {
  if (!fallback) return
  const send: FallbackSend = async (message: unknown, handed: Handed) => {
    try {
      return await fallback.send(message, handed)
    } catch (error) {
      errors.note(error, 'the option "fallback"')
      throw error
    }
  }
  let timer: Timer | undefined
  status$.subscribe(({ state }) => {
    if (UP_OR_OVER.has(state)) {
      clock.clearTimeout(timer)
      timer = undefined
    } else timer ??= clock.setTimeout(() => outbox.divert(send), fallback.afterMs)
  })
}
