/** One run: a world, a list of moves, and an end that is judged: the world heals, or a person stops the link. */
import fc from 'fast-check'
import type { StateName } from '../../machines/link.ts'
import { PATH_MAX_MS, PROOF_MAX_MS, recoveryBound, STOP_MAX_MS } from './bounds.ts'
import { choose, DIE_MAX, type Die, type Step } from './guide.ts'
import { moves } from './moves.ts'
import type { SimRule, Violation } from './verdicts.ts'
import { bounds, targets, World, type WorldOptions } from './world.ts'

export interface RunInput extends WorldOptions {
  readonly dice: readonly Die[]
  /** Whether the world heals before the link is stopped; otherwise it is stopped right where the moves left it. */
  readonly heals: boolean
  /** Whether the transport that was open before is one of those that come back to life. */
  readonly thaws: boolean
}

export interface Report {
  readonly violations: readonly Violation[]
  readonly checked: ReadonlyMap<SimRule, number>
  readonly steps: readonly Step[]
  readonly states: ReadonlySet<StateName>
  /** `from event to` of every transition. */
  readonly arrows: readonly string[]
  /** The transition records as text: the same seed gives the same text. */
  readonly transcript: string
  /** How each message and call ended. */
  readonly fates: readonly string[]
  readonly dials: number
  /** From the healing of the world to live, and what was allowed; undefined if the run did not heal. */
  readonly recovery: { readonly from: StateName; readonly ms: number; readonly boundMs: number } | undefined
}

const STEPS_MIN = 40
const STEPS_MAX = 120
const HOUR_MS = 3_600_000

const die = fc.nat({ max: DIE_MAX })

export const runInputs: fc.Arbitrary<RunInput> = fc.record({
  seed: fc.nat(),
  probes: fc.boolean(),
  healthy: fc.boolean(),
  heals: fc.boolean(),
  thaws: fc.boolean(),
  dice: fc.array(fc.tuple(die, die, die), { minLength: STEPS_MIN, maxLength: STEPS_MAX, size: 'max' }),
})

/** Draws each move as it goes, because what makes sense depends on where the link is. */
export const run = async (input: RunInput): Promise<Report> => {
  const world = new World(input)
  const steps: Step[] = []
  await world.settle()
  for (const drawn of input.dice) {
    const step = choose(world, drawn)
    steps.push(step)
    await take(world, step)
  }
  return finish(world, steps, input)
}

/** The same from a list that was written down: for regressions, which must not depend on how moves are drawn. */
export const replay = async (
  options: WorldOptions & { heals?: boolean; thaws?: boolean },
  steps: readonly Step[],
): Promise<Report> => {
  const world = new World(options)
  await world.settle()
  for (const step of steps) await take(world, step)
  return finish(world, steps, { heals: false, thaws: false, ...options })
}

const take = async (world: World, [move, n]: Step): Promise<void> => {
  try {
    await moves[move](world, n)
  } catch (error) {
    world.verdicts.check('HF-S10', false, () => `${move} threw ${String(error)}`)
  }
  await rest(world, move)
}

/** After each move: promises settle, and everything is looked at. */
const rest = async (world: World, move: string): Promise<void> => {
  await world.settle()
  world.judge.look()
  world.letters.judge(world.link.stats)
  const settled = !['live', 'parked', 'stopped'].includes(world.state) || world.awaited === 0
  world.verdicts.check('HF-O1', settled, () => `ready() is open in ${world.state}`)
  world.verdicts.check('HF-S10', true, () => move)
}

const finish = async (
  world: World,
  steps: readonly Step[],
  { heals, thaws }: { heals: boolean; thaws: boolean },
): Promise<Report> => {
  const ending = world.state === 'closing' || world.state === 'stopped'
  const recovery = heals && !ending ? await heal(world, thaws) : undefined
  await stop(world)
  await judgeInbound(world)
  const { violations, checked } = world.verdicts
  return {
    violations,
    checked,
    steps,
    recovery,
    states: world.judge.states,
    arrows: world.records.map(({ from, event, to }) => `${from} ${event} ${to}`),
    transcript: JSON.stringify(world.records),
    fates: world.letters.all.map(({ ending }) => ending ?? 'open'),
    dials: world.wires.length,
  }
}

const isHealed = ({ state, wire, network }: World): boolean =>
  state === 'live' && wire?.isReady === true && !wire.cut && !wire.frozen && network.healthy

/** From now on nothing is wrong any more; a person resumes the link if it is parked. */
const heal = async (world: World, thaws: boolean) => {
  world.mood.target = targets.fine
  world.mood.throwsIn = undefined
  world.network.addresses = () => [{ address: '127.0.0.1', family: 4 }]
  const { wire } = world
  if (wire) wire.cut ||= !thaws
  world.peer?.drain()
  world.thaw()
  const from = world.state
  if (from === 'parked') world.link.resume()
  world.say({ op: 'online' })
  // whatever it announced before, it will not beat by itself here
  world.say({ op: 'beat', expectMs: 1e12 })
  const boundMs = recoveryBound(world.link.status, world.clock.wall())
  const healedAt = world.clock.now()
  await world.settle()
  for (let left = boundMs; !isHealed(world) && left > 0; left = healedAt + boundMs - world.clock.now()) {
    await world.advance(Math.min(left, world.clock.nextInMs ?? left))
    world.judge.look()
  }
  const ms = world.clock.now() - healedAt
  world.verdicts.check('HF-L1', isHealed(world), () => `still ${world.state} ${ms} ms after all was well, from ${from}`)
  await deliver(world)
  return { from, ms, boundMs }
}

/** In a healthy world with nothing in the way, a message and a call arrive. */
const deliver = async (world: World): Promise<void> => {
  const { link, letters } = world
  await world.advance(PROOF_MAX_MS)
  if (!isHealed(world)) return
  // a peer that was sick may have lost a call for good, and a ping too; a later ping makes up for the ping
  const stuck = world.probes
    ? undefined
    : letters.all.find(({ kind, ending }) => kind === 'say' && ending === undefined)
  world.verdicts.check('HF-O5', stuck === undefined, () => `message ${stuck?.n} is still without proof`)
  if (link.stats.outbox.waiting > 0) return
  const sent = [
    letters.follow('say', HOUR_MS, false, (n) => link.send({ n, text: 'hello' })),
    letters.follow('ask', HOUR_MS, false, (n) => link.call('ask', { n, text: '' })),
  ]
  await world.advance(PATH_MAX_MS)
  for (const { n, ending } of sent) {
    world.verdicts.check('HF-O5', ending === 'delivered', () => `message ${n} is ${ending ?? 'still open'}`)
  }
}

const stop = async (world: World): Promise<void> => {
  // with nothing to deliver and a peer that says goodbye too, there is nothing to wait for
  const idle = isHealed(world) && world.link.stats.outbox.waiting === 0
  const maxMs = idle ? PATH_MAX_MS : STOP_MAX_MS
  let stopped = false
  void world.link.stop().then(() => {
    stopped = true
  })
  await world.settle()
  const askedAt = world.clock.now()
  while (!stopped && world.clock.now() - askedAt < STOP_MAX_MS) {
    await world.advance(Math.min(world.clock.nextInMs ?? STOP_MAX_MS, askedAt + STOP_MAX_MS - world.clock.now()))
  }
  const ms = world.clock.now() - askedAt
  world.verdicts.check('HF-Q2', stopped && ms <= maxMs, () => `still ${world.state} ${ms} ms after stop()`)
  await rest(world, 'stop')
  const before = { dials: world.wires.length, records: world.records.length }
  world.link.resume()
  world.link.retry()
  await world.advance(HOUR_MS)
  await rest(world, 'the hour after')
  const after = { dials: world.wires.length, records: world.records.length }
  const still = before.dials === after.dials && before.records === after.records
  world.verdicts.check('HF-Q1', still, () => `${JSON.stringify(before)} became ${JSON.stringify(after)}`)
  const open = world.letters.all.find(({ ending }) => ending === undefined)
  world.verdicts.check('HF-O1', open === undefined, () => `message ${open?.n} has no end`)
}

/** All that the peer said was read, or dropped and counted, or is one of the few that may wait. */
const judgeInbound = async (world: World): Promise<void> => {
  const early = world.read.length
  await world.takeAll()
  const waited = world.read.length - early
  const { dropped } = world.link.stats.inbound
  const whole = world.read.length + dropped === world.mood.delivered
  const what = () => `${world.mood.delivered} came, ${early} were read, ${waited} waited, ${dropped} were dropped`
  world.verdicts.check('HF-S11', whole && waited <= bounds.inboundMax, what)
}
