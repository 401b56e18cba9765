/** A listener in virtual time: its berths are the real ones, and posts come by a call instead of a socket. */
import { NEVER } from 'rxjs'
import type { CallerHeaders, Listener } from '../../src/berth.ts'
import type { Clock } from '../../src/clock.ts'
import { Door } from '../../src/listen/door.ts'
import type { Quay } from '../../src/listen/quay.ts'
import { WebhookBerth } from '../../src/listen/webhook-berth.ts'

export interface VirtualListener {
  readonly listener: Listener
  /** The status with which a post is answered. */
  post(path: string, headers: CallerHeaders, body: string): number
}

export const virtualListener = (clock: Clock): VirtualListener => {
  const berths: WebhookBerth[] = []
  const door = new Door(clock)
  const quay = { clock, isOpen: true, attend: () => () => undefined } as unknown as Quay
  const webhook: Listener['webhook'] = (terms) => {
    const berth = new WebhookBerth(terms, quay)
    berths.push(berth)
    return { transport: berth.transport, arrivals$: NEVER }
  }
  return {
    listener: { webhook, webSocket: () => Promise.reject() as never, port: 0 },
    post: (path, headers, body) => {
      const here = berths.filter(({ terms }) => terms.path === path)
      const caller = { address: '192.0.2.1', path, headers, token: undefined, isAmbiguous: false }
      const found = door.admit(caller, here)
      if ('status' in found) return found.status
      if (!found.berth.isReady) return 503
      return found.berth.take(headers, Buffer.from(body))?.status ?? 204
    },
  }
}
