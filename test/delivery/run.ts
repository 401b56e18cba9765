/** One run: twenty faults strike while both sides talk, the world heals, everything drains, and then it is judged. */
import fc from 'fast-check'
import { type StrikeName, strikeNames, strikes } from './strikes.ts'
import type { DeliveryRule, Violation } from './verdicts.ts'
import { World, type WorldOptions } from './world.ts'

/** After this many milliseconds this strikes, in this way. */
export type Blow = readonly [afterMs: number, strike: StrikeName, how: number]

export interface Plan extends WorldOptions {
  readonly blows: readonly Blow[]
}

export interface Report {
  readonly violations: readonly Violation[]
  readonly checked: ReadonlyMap<DeliveryRule, number>
  readonly sent: number
  readonly fates: Readonly<Record<string, number>>
  /** How many copies the peer dropped, or should have. */
  readonly doubles: number
  readonly said: number
  readonly missed: number
  readonly gaps: number
  readonly dials: number
  readonly states: readonly string[]
}

const BLOWS = 20
const AFTER_MAX_MS = 350
const HOW_MAX = 0xffff
/** Of being live for a moment between two faults, a person's impatience is the usual cause. */
const IMPATIENT = 0.7

const blow = fc.tuple(fc.nat({ max: AFTER_MAX_MS }), fc.constantFrom(...strikeNames), fc.nat({ max: HOW_MAX }))

export const plans: fc.Arbitrary<Plan> = fc.record({
  seed: fc.nat(),
  mode: fc.constantFrom('proved', 'told'),
  keys: fc.boolean(),
  overlap: fc.boolean(),
  isSmall: fc.boolean(),
  blows: fc.array(blow, { minLength: BLOWS, maxLength: BLOWS }),
})

export const run = async (plan: Plan): Promise<Report> => {
  const world = new World(plan)
  await world.clock.advance(100)
  for (const [afterMs, strike, how] of plan.blows) {
    await world.clock.advance(afterMs)
    strikes[strike](world, how)
    hurry(world, how)
  }
  await heal(world)
  if (plan.mode === 'proved') world.letters.judgeProved()
  else world.letters.judgeTold(world.link.stats.outbox)
  await end(world)
  world.inbox.judgeEnd()
  return reportOf(world)
}

const hurry = ({ clock, dice, link }: World, how: number): void => {
  if (dice() > IMPATIENT) return
  clock.setTimeout(() => {
    if (link.status.state === 'parked') link.resume()
    else link.retry()
  }, how % 200)
}

const HEAL_MAX_MS = 600_000
/** Until what is under way has arrived, from peers that were frozen too. */
const SETTLE_MS = 4_000

const isWell = ({ link, platform, inbox }: World): boolean =>
  link.status.state === 'live' && link.stats.outbox.waiting === 0 && inbox.last === platform.said

/** From now on nothing strikes; a person resumes the link if it is parked. */
const heal = async (world: World): Promise<void> => {
  const { clock, platform, link } = world
  world.isSending = false
  platform.isSpeaking = false
  platform.refuses = undefined
  platform.muteUntil = 0
  await clock.advance(SETTLE_MS)
  if (link.status.state === 'parked') link.resume()
  const since = clock.now()
  // the last of all is heard by whoever is there, so it shows that nothing before it is still to come
  while (link.status.state !== 'live' && clock.now() - since < HEAL_MAX_MS) await clock.advance(clock.nextInMs ?? 1_000)
  platform.speakOnce()
  while (!isWell(world) && clock.now() - since < HEAL_MAX_MS) await clock.advance(clock.nextInMs ?? 1_000)
  const what = () =>
    `${link.status.state}, ${link.stats.outbox.waiting} wait, event ${world.inbox.last} of ${platform.said}`
  world.verdicts.check('HF-E5', isWell(world), what)
}

const end = async ({ link, clock, platform, verdicts }: World): Promise<void> => {
  let isStopped = false
  void link.stop().then(() => {
    isStopped = true
  })
  await clock.advance(SETTLE_MS)
  const left = () => `${link.status.state}: ${platform.open.length} transports and ${clock.pending} timers are left`
  verdicts.check('HF-E5', isStopped && platform.open.length === 0 && clock.pending === 0, left)
}

const reportOf = ({ verdicts, letters, platform, inbox, link }: World): Report => {
  const { delivered, expired, refused, uncertain } = link.stats.outbox
  const all = [...platform.copies.values()]
  return {
    violations: verdicts.violations,
    checked: verdicts.checked,
    sent: letters.all.length,
    fates: { delivered, expired, refused, uncertain },
    doubles: all.reduce((sum, copies) => sum + copies - 1, 0),
    said: platform.said,
    missed: inbox.missed,
    gaps: inbox.gaps,
    dials: platform.wires.length,
    states: link.recording.kept.map(({ to }) => to),
  }
}
