/** What the model of the outbox does to it: random orders, and random outboxes to give them to. */
import fc from 'fast-check'

export interface Put {
  readonly do: 'put'
  /** A message is kept where there is a ledger, a call is not. */
  readonly kind: 'message' | 'call'
  readonly proof: 'answer' | 'pong' | 'http'
  readonly size: number
  readonly withinMs: number
  readonly key: number | undefined
  readonly conversation: string | undefined
  readonly coalesceKey: string | undefined
  readonly failFast: boolean
}

export type Order =
  | Put
  | { readonly do: 'answer' | 'refuse' | 'prove' | 'forge' | 'request' | 'lose'; readonly which: number }
  | { readonly do: 'advance' | 'sleep'; readonly ms: number }
  | { readonly do: 'attach' | 'detach' | 'divert' | 'switch' | 'clog' | 'unclog' | 'fill' }
  /** How often of ten the disk fails from now on. */
  | { readonly do: 'disk'; readonly fails: number }
  | { readonly do: 'crash' | 'stop' }

export interface Plan {
  readonly seed: number
  readonly whenFull: 'reject' | 'drop-oldest'
  readonly backlogPerSecond: number
  readonly pace: { count: number; ms: number } | undefined
  readonly dedupes: boolean
  readonly hasLedger: boolean
  readonly orders: readonly Order[]
}

const maybe = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined, freq: 1 })
const which = fc.nat(30)

const put: fc.Arbitrary<Put> = fc.record({
  do: fc.constant('put' as const),
  kind: fc.constantFrom('message' as const, 'message' as const, 'call' as const),
  proof: fc.constantFrom('answer' as const, 'pong' as const, 'http' as const),
  size: fc.nat(400),
  withinMs: fc.integer({ min: 1, max: 6_000 }),
  key: maybe(fc.nat(5)),
  conversation: maybe(fc.constantFrom('a', 'b')),
  coalesceKey: fc.option(fc.constantFrom('x', 'y'), { nil: undefined, freq: 2 }),
  failFast: fc.nat(9).map((n) => n === 0),
})

const order: fc.Arbitrary<Order> = fc.oneof(
  { weight: 36, arbitrary: put },
  { weight: 24, arbitrary: fc.record({ do: fc.constantFrom('answer', 'answer', 'prove', 'prove', 'refuse'), which }) },
  { weight: 10, arbitrary: fc.record({ do: fc.constant('request'), which }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('forge'), which }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('lose'), which }) },
  { weight: 10, arbitrary: fc.record({ do: fc.constant('advance'), ms: fc.oneof(fc.nat(100), fc.nat(1_500)) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('sleep'), ms: fc.nat(1_500) }) },
  {
    weight: 20,
    arbitrary: fc.record({
      do: fc.constantFrom(
        'attach',
        'attach',
        'attach',
        'attach',
        'detach',
        'divert',
        'switch',
        'clog',
        'unclog',
        'unclog',
      ),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('fill') }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('disk'), fails: fc.constantFrom(0, 0, 0, 3, 10) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constantFrom('crash', 'crash', 'stop') }) },
) as fc.Arbitrary<Order>

export const plans: fc.Arbitrary<Plan> = fc.record({
  seed: fc.nat(),
  whenFull: fc.constantFrom('reject' as const, 'drop-oldest' as const),
  backlogPerSecond: fc.constantFrom(2, 50),
  pace: fc.option(fc.constantFrom({ count: 2, ms: 300 }, { count: 5, ms: 1_000 }), { nil: undefined, freq: 1 }),
  dedupes: fc.nat(3).map((n) => n === 0),
  hasLedger: fc.boolean(),
  orders: fc.array(order, { maxLength: 60, size: 'max' }),
})
