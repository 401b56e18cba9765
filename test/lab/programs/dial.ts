/** Our own way: resolve, then dial. One line of `Outcome` for each run. */
import { setTimeout as sleep } from 'node:timers/promises'
import { realClock } from '../../../src/clock.ts'
import { dial } from '../../../src/net/dial.ts'
import { type Address, resolverOf } from '../../../src/net/resolve.ts'
import { argument, measure, type Outcome, obey, print, warmUp } from './program.ts'

export interface DialArgument {
  readonly host: string
  readonly port: number
  /** In this order and with no lookup. */
  readonly addresses?: readonly string[]
  readonly runs?: number
  readonly withinMs?: number
}

const { host, port, addresses, runs = 1, withinMs = 30_000 } = argument<DialArgument>()

const given = addresses?.map((address): Address => ({ address, family: address.includes(':') ? 6 : 4 }))

const reach = async (
  to: { readonly host: string; readonly port: number; readonly given?: readonly Address[] | undefined },
  callOff: (stop: () => void) => void,
): Promise<Partial<Outcome>> => {
  const found = to.given ?? (await resolverOf(realClock).find(to.host))
  return new Promise((done, reject) => {
    const cancel = dial({
      addresses: found,
      port: to.port,
      clock: realClock,
      failed: reject,
      opened: (socket) => {
        callOff(() => socket.destroy())
        done({ address: socket.remoteAddress ?? '' })
      },
    })
    callOff(cancel)
  })
}

obey(() => undefined)
await warmUp((address, free) => measure(1_000, (callOff) => reach({ host: address, port: free }, callOff)))
for (let run = 0; run < runs; run++) {
  if (run > 0) await sleep(10)
  print(await measure(withinMs, (callOff) => reach({ host, port, given }, callOff)))
}
process.exit()
