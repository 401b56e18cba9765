/** Everything that can happen to a link, by name: a run is a list of these, each with a number that says how. */
import { type FaultCode, faults } from '../../machines/fault.ts'
import type { Frame, Io } from '../../src/adapter/adapter.ts'
import type { JsonObject } from '../../src/adapter/json.ts'
import type { Address } from '../../src/net/resolve.ts'
import type { FakeTransport } from '../../src/testing/index.ts'
import { CLOSE_CONFUSING, CLOSE_FORBIDDEN, CLOSE_REJECTED, UNSPEAKABLE } from './protocol.ts'
import { bounds, CLOGGED_BYTES, targets, type World } from './world.ts'

/** What it gives is of no interest, but a promise is waited for. */
type Move = (world: World, n: number) => unknown

const codes = Object.keys(faults) as FaultCode[]
/** What has no place in a transport's mouth: `held` is an operator's word. */
const sayable = codes.filter((code) => code !== 'held')
const curves: readonly FaultCode[] = ['refused', 'dropped', 'connection-lost', 'closed-by-peer', 'upgrade-forbidden']
const closes = [1000, 1001, 1006, 1008, 1011, 1013, CLOSE_REJECTED, CLOSE_FORBIDDEN, CLOSE_CONFUSING]
const rhythms = [0, -5, null, 1e12, 1_000, 4_000, 30_000]
const waits = [7_000, 0, -1, 1e12, Number.NaN, 60_000]
const junk: readonly Frame[] = [
  '<html><body>502</body></html>',
  '',
  'null',
  '[1,2]',
  '{"op":',
  new Uint8Array([0, 255, 128]),
  `${'['.repeat(5_000)}${']'.repeat(5_000)}`,
]
const strangers = [{ op: 'no-such-op' }, { op: '__proto__' }, { op: 'constructor' }, { op: 7 }, {}]
const lookupErrors = ['ENOTFOUND', 'EAI_AGAIN', 'ENETUNREACH', 'no code at all']

const TIMERS_MAX = 12
const STOP_IN = 12

const pick = <T>(from: readonly T[], n: number): T => from[n % from.length]!

const fails = (code: string) => () => {
  throw Object.assign(new Error(`lookup ${code}`), { code })
}

/** A fault of any code; one in three asks for patience. */
const anyFault = (from: readonly FaultCode[], n: number) => {
  const code = pick(from, n)
  return n % 3 === 0 ? { code, retryAfterMs: pick(waits, n >> 4) } : { code }
}

/** What must not move the link: checked by the records that it makes. */
const inert = (world: World, rule: 'HF-S6' | 'HF-S10', what: string, act: () => void): void => {
  const before = world.records.length
  act()
  const more = world.records.slice(before)
  world.verdicts.check(rule, more.length === 0, () => `${what} caused ${more[0]?.event}`)
}

const ghostly: readonly ((ghost: FakeTransport) => void)[] = [
  (ghost) => ghost.open(),
  (ghost) => ghost.frame({ op: 'welcome' }),
  (ghost) => ghost.frame({ op: 'fail', code: 'kicked' }),
  (ghost) => ghost.frame({ op: 'answer', key: 'h0' }),
  (ghost) => ghost.pong('m1'),
  (ghost) => ghost.lose({ code: 'kicked' }),
  (ghost) => ghost.drain(),
]

const haunt: Move = (world, n) => {
  const ghosts = world.wires.filter(({ ended }) => ended)
  const { transport } = pick(ghosts, n >> 4) ?? {}
  if (transport) inert(world, 'HF-S6', 'an ended transport', () => pick(ghostly, n)(transport))
}

const babbling: readonly ((io: Io<JsonObject>, key: string) => void)[] = [
  (io) => io.send('{"op":"late"}'),
  (io) => io.welcome(),
  (io) => io.caughtUp(),
  (io) => io.fail('kicked'),
  (io) => io.impaired('deaf'),
  (io) => io.recovered(),
  (io) => io.heartbeat({ everyMs: 1 }),
  (io) => io.deliver({ op: 'late' }),
  (io, key) => io.answer(key, 'late'),
  (io, key) => io.refuse(key, 'late'),
]

const settledOf = ({ link }: World): number => link.stats.outbox.delivered + link.stats.outbox.refused

/** An adapter that goes on talking after its transport has ended. */
const babble: Move = (world, n) => {
  const io = world.ios.at(world.wire ? -2 : -1)
  if (!io) return
  const settled = settledOf(world)
  inert(world, 'HF-S6', 'an ended dialogue', () => pick(babbling, n)(io, `h${(n >> 4) % 12}`))
  world.verdicts.check('HF-S6', settledOf(world) === settled, () => 'an ended dialogue settled a message')
}

const size = (n: number): string => 'x'.repeat(n % 7 === 0 ? bounds.bytesMax : n % 120)
const within = (n: number): number => pick([100, 2_000, 10_000, 60_000, 300_000], n)

const time = {
  /** The boundaries of the next deadline: just before it, on it, just after it. */
  'time.next': (world, n) => world.advance((world.clock.nextInMs ?? 1_000) + (n % 3) - 1),
  'time.deadline': (world) => world.advance(world.clock.nextInMs ?? 1_000),
  /** Deadline after deadline until the link has moved on, or a good while has passed. */
  'time.tells': async (world) => {
    const { state } = world
    for (let i = 0; i < TIMERS_MAX && world.state === state; i++) await world.advance(world.clock.nextInMs ?? 1_000)
  },
  'time.passes': (world, n) => world.advance(1 + (n % 3_000)),
  'time.drags': (world, n) => world.advance(10_000 + (n % 16) * 12_000),
  /** Our own process is suspended or blocked. */
  'time.stalls': (world, n) => {
    world.clock.sleep(100 + (n % 20) * 1_000)
    world.awakeAt = world.clock.now()
  },
} satisfies Record<string, Move>

const peer = {
  'peer.heals': (world) => {
    world.network.healthy = true
  },
  'peer.sickens': (world) => {
    world.network.healthy = false
  },
  'peer.opens': (world) => world.peer?.open(),
  'peer.readies': (world) => {
    if (world.wire && !world.wire.isReady) world.peer?.ready()
  },
  'peer.welcomes': (world) => world.say({ op: 'welcome' }),
  'peer.replays': (world) => world.say({ op: 'replay' }),
  'peer.catchesUp': (world) => world.say({ op: 'caughtUp' }),
  'peer.tells': (world, n) => {
    for (let i = 0; i <= n % 4; i++) world.say({ op: 'news', n, i })
  },
  'peer.puzzles': (world, n) => world.say(pick(strangers, n)),
  'peer.babbles': (world, n) => inert(world, 'HF-S10', 'a malformed frame', () => world.say(pick(junk, n))),
  'peer.booms': (world) => world.say({ op: 'boom' }),
  'peer.beats': (world, n) => world.say({ op: 'beat', expectMs: pick(rhythms, n), everyMs: pick(rhythms, n >> 4) }),
  'peer.answers': (world, n) => world.say({ op: 'answer', key: `h${n % 12}` }),
  'peer.refuses': (world, n) => world.say({ op: 'refuse', key: `h${n % 12}` }),
  /** Answers the oldest probe or ping. */
  'peer.pongs': (world) => {
    const mark = world.wire?.unanswered.shift()
    if (mark === undefined) return
    if (world.probes && mark.startsWith('p')) world.say({ op: 'answer', key: mark })
    else world.peer?.pong(mark)
  },
  'peer.offline': (world) => world.say({ op: 'offline' }),
  'peer.deafens': (world) => world.say({ op: 'deaf' }),
  'peer.online': (world) => world.say({ op: 'online' }),
  'peer.fails': (world, n) => world.say({ op: 'fail', ...anyFault(sayable, n) }),
  'peer.closes': (world, n) => world.lose({ code: 'closed-by-peer' }, { code: pick(closes, n), reason: '' }),
  'peer.freezes': (world) => world.freeze(),
  'peer.thaws': (world) => world.thaw(),
} satisfies Record<string, Move>

const net = {
  'net.loses': (world, n) => world.lose(anyFault(sayable, n)),
  'net.drops': (world, n) => world.lose({ code: pick(curves, n) }),
  'net.forbids': (world) => world.lose({ code: 'upgrade-forbidden' }),
  'net.rejects': (world) => world.lose({ code: 'upgrade-unauthorized' }),
  'net.cuts': (world) => {
    if (world.wire) world.wire.cut = true
  },
  'net.clogs': (world) => {
    if (world.peer) world.peer.bufferedBytes = CLOGGED_BYTES
  },
  'net.drains': (world) => world.peer?.drain(),
  'net.haunts': haunt,
} satisfies Record<string, Move>

const LOCALHOST: Address[] = [{ address: '127.0.0.1', family: 4 }]

const finding = {
  'lookup.fails': (world, n) => {
    world.network.addresses = fails(pick(lookupErrors, n))
  },
  'lookup.empties': (world) => {
    world.network.addresses = () => []
  },
  'lookup.hangs': (world) => {
    world.network.addresses = () => new Promise((resolve) => world.hanging.push(resolve))
  },
  'lookup.recovers': (world) => {
    world.network.addresses = () => LOCALHOST
  },
  /** Perhaps after the attempt that asked was given up. */
  'lookup.answers': (world) => world.hanging.shift()?.(LOCALHOST),
  'provider.throws': (world) => {
    world.mood.target = targets.throws
  },
  'provider.hangs': (world) => {
    world.mood.target = targets.hangs
  },
  'provider.errs': (world) => {
    world.mood.target = targets.wrong
  },
  'provider.recovers': (world) => {
    world.mood.target = targets.fine
  },
  'adapter.breaks': (world, n) => {
    world.mood.throwsIn = n % 2 ? 'dialogue' : 'opened'
  },
  'adapter.mends': (world) => {
    world.mood.throwsIn = undefined
  },
  'adapter.babbles': babble,
} satisfies Record<string, Move>

const post = (world: World, n: number, idempotencyKey?: string): void => {
  const withinMs = within(n >> 8)
  world.letters.follow('say', withinMs, idempotencyKey !== undefined, (number) =>
    world.link.send({ n: number, text: size(n) }, { withinMs, ...(idempotencyKey ? { idempotencyKey } : {}) }),
  )
}

const user = {
  'user.sends': (world, n) => post(world, n),
  /** More than the outbox holds. */
  'user.floods': (world, n) => {
    for (let i = 0; i < bounds.messagesMax + 2; i++) post(world, n | 1)
  },
  /** Two of three times under a key that is not yet taken. */
  'user.insists': (world, n) => post(world, n, `k${n % 3 === 0 ? 0 : world.letters.all.length}`),
  'user.mumbles': (world) =>
    world.letters.follow('say', 300_000, false, (n) => world.link.send({ n, text: UNSPEAKABLE })),
  'user.asks': (world, n) =>
    world.letters.follow('ask', within(n), false, (number) =>
      world.link.call('ask', { n: number, text: '' }, { withinMs: within(n) }),
    ),
  'user.givesUp': (world, n) => {
    const abort = new AbortController()
    world.letters.follow('ask', within(n), false, (number) =>
      world.link.call('ask', { n: number, text: '' }, { withinMs: within(n), signal: abort.signal }),
    )
    world.clock.setTimeout(() => abort.abort(), n % 400)
  },
  'user.reads': (world) => void world.take(),
  'user.awaits': (world) => world.expectReady(),
} satisfies Record<string, Move>

const operator = {
  'operator.holds': (world) => world.link.hold(),
  'operator.resumes': (world) => world.link.resume(),
  'operator.retries': (world) => world.link.retry(),
  /** Most are taken back: a run that has stopped shows nothing more. */
  'operator.stops': (world, n) => {
    if (n % STOP_IN === 0) void world.link.stop()
  },
  'operator.cuts': (world, n) => {
    if (n % 3 === 0 || world.state === 'closing') void world.link.stop({ drainMs: 0 })
  },
  /** As with stopping. */
  'lease.ends': (world, n) => {
    if (n % STOP_IN === 0 || world.state === 'closing') world.tenure.end({ code: 'lease-taken' })
  },
} satisfies Record<string, Move>

export const moves = { ...time, ...peer, ...net, ...finding, ...user, ...operator } satisfies Record<string, Move>

export type MoveName = keyof typeof moves
