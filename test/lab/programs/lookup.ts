/** Looks names up, all at once or when each is due. One line of `Looked` for each, in the order of their ends. */
import { lookup as systemLookup } from 'node:dns'
import { Resolver } from 'node:dns/promises'
import { realClock } from '../../../src/clock.ts'
import { resolverOf } from '../../../src/net/resolve.ts'
import { argument, measure, type Outcome, obey, print } from './program.ts'

export interface Query {
  readonly name: string
  /** getaddrinfo, c-ares, or our own resolver. */
  readonly via?: 'system' | 'cares' | 'ours'
  readonly family?: 0 | 4 | 6
  readonly afterMs?: number
  /** For c-ares. */
  readonly options?: { readonly timeout: number; readonly tries: number }
}

export interface Looked extends Outcome {
  readonly name: string
  readonly addresses?: readonly string[]
}

const system = ({ name, family = 0 }: Query): Promise<string[]> =>
  new Promise((resolve, reject) => {
    systemLookup(name, { all: true, verbatim: true, family }, (error, found) => {
      if (error) reject(error)
      else resolve(found.map(({ address }) => address))
    })
  })

const cares = ({ name, family, options }: Query): Promise<string[]> => {
  const resolver = new Resolver(options)
  return family === 6 ? resolver.resolve6(name) : resolver.resolve4(name)
}

const ours = async ({ name }: Query): Promise<string[]> => {
  const { known } = await resolverOf(realClock).find(name)
  return known.map(({ address }) => address)
}

const run = async (query: Query): Promise<void> => {
  await new Promise((resolve) => setTimeout(resolve, query.afterMs ?? 0))
  let addresses: string[] = []
  const outcome = await measure(40_000, async () => {
    addresses = await { system, cares, ours }[query.via ?? 'system'](query)
    return {}
  })
  print({ ...outcome, name: query.name, addresses } satisfies Looked)
}

obey(() => undefined)
await Promise.all(argument<{ queries: readonly Query[] }>().queries.map(run))
process.exit()
