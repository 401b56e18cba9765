/** The watch over a session, in virtual time: when it probes, when it says `missed`, and whom it never blames. */
import { Subject, type Subscription } from 'rxjs'
import { describe, expect, it } from 'vitest'
import { adjust, type HeartbeatOptions, heartbeat, heartbeatDefaults, type Rhythm } from '../src/heartbeat.ts'
import { type HeapClock, heapClock, seededRandom } from '../src/testing/heap-clock.ts'

interface Watch {
  readonly clock: HeapClock
  /** Milliseconds at which it probed. */
  readonly probes: number[]
  /** What it said, with the milliseconds. */
  readonly beats: string[]
  readonly subscription: Subscription
  hear(): void
  change(more: { rhythm?: Rhythm; waiting?: boolean }): void
  doubt(): void
}

interface Setting extends Partial<HeartbeatOptions> {
  /** What the peer says with its welcome. */
  readonly rhythm?: Rhythm
  readonly seed?: number
}

/** `answer` is called at each probe, with a function that makes something arrive. */
const watch = (
  answer: (hear: () => void, clock: HeapClock) => void,
  { rhythm = {}, seed = 1, ...over }: Setting = {},
): Watch => {
  const clock = heapClock(seed)
  const inbound$ = new Subject<void>()
  const changed$ = new Subject<void>()
  const doubted$ = new Subject<void>()
  const state = { rhythm, waiting: false }
  const probes: number[] = []
  const beats: string[] = []
  const hear = () => inbound$.next()
  const pulse = {
    inbound$,
    changed$,
    doubted$,
    rhythm: () => state.rhythm,
    waiting: () => state.waiting,
    probe: () => {
      probes.push(clock.now())
      answer(hear, clock)
    },
  }
  const subscription = heartbeat(pulse, clock, { ...heartbeatDefaults, ...over }).subscribe(({ type }) =>
    beats.push(`${type.replace('heartbeat.', '')} ${clock.now()}`),
  )
  const change = (more: { rhythm?: Rhythm; waiting?: boolean }) => {
    Object.assign(state, more)
    changed$.next()
  }
  // the first probe goes in a turn of its own
  clock.advanceSync(0)
  return { clock, probes, beats, subscription, hear, change, doubt: () => doubted$.next() }
}

const silence = () => undefined
const roundTrip = (ms: number) => (hear: () => void, clock: HeapClock) => void clock.setTimeout(hear, ms)

describe('a quiet peer', () => {
  it('is probed at the start, and then whenever it has been quiet for long enough', () => {
    const { clock, probes, beats } = watch(roundTrip(10))
    clock.advanceSync(30_000)
    expect(probes).toEqual([0, 8_010, 16_020, 24_030])
    expect(beats).toEqual([])
  })

  it('is not probed while anything at all arrives', () => {
    const { clock, probes, beats, hear } = watch(roundTrip(10))
    for (let n = 0; n < 100; n++) {
      clock.advanceSync(7_000)
      hear()
    }
    expect(probes).toEqual([0])
    clock.advanceSync(8_000)
    expect(probes).toHaveLength(2)
    expect(beats).toEqual([])
  })

  it('has missed a heartbeat when a probe goes unanswered, and another one with each further probe', () => {
    const { clock, probes, beats } = watch(silence)
    clock.advanceSync(9_000)
    expect(probes).toEqual([0, 3_000, 6_000, 9_000])
    expect(beats).toEqual(['missed 3000', 'missed 6000', 'missed 9000'])
  })

  it('is seen again once, by whatever arrives first', () => {
    const { clock, beats, hear } = watch(silence)
    clock.advanceSync(6_500)
    for (let n = 0; n < 3; n++) hear()
    expect(beats).toEqual(['missed 3000', 'missed 6000', 'seen 6500'])
  })

  it.each([1, 500, 7_999, 8_000, 12_345])('that falls silent after %i ms is told within its bounds', (after) => {
    let silent = false
    const { clock, beats } = watch((hear) => void (silent || hear()))
    clock.advanceSync(after)
    silent = true
    clock.advanceSync(heartbeatDefaults.quietMs + heartbeatDefaults.answerMaxMs)
    expect(beats.length).toBeGreaterThan(0)
    expect(beats[0]).toMatch(/^missed/)
  })
})

describe('how long an answer may take', () => {
  /** From the last probe before the silence to the verdict. */
  const patience = (roundTripMs: number): number => {
    let silent = false
    const { clock, probes, beats } = watch((hear, time) => void (silent || time.setTimeout(hear, roundTripMs)))
    clock.advanceSync(100_000)
    expect(beats, `round trip ${roundTripMs}`).toEqual([])
    silent = true
    clock.advanceSync(14_000)
    const missedAt = Number(beats[0]?.replace('missed ', ''))
    return missedAt - probes.filter((at) => at < missedAt).at(-1)!
  }

  it('is a steady round trip and a quarter of a second, and never less than one second or more than three', () => {
    expect([1, 200, 750, 800, 1_000, 2_000, 2_750, 2_900].map(patience)).toEqual([
      1_000, 1_000, 1_000, 1_050, 1_250, 2_250, 3_000, 3_000,
    ])
  })

  it.each([1, 2, 3])('never blames a peer that answers within a second, in a day of it (seed %i)', (seed) => {
    const random = seededRandom(seed)
    const made = watch((hear, clock) => void clock.setTimeout(hear, Math.ceil(random() * 1_000)))
    const chatter = () => {
      made.hear()
      made.clock.setTimeout(chatter, random() * 40_000)
    }
    chatter()
    const wait = () => {
      made.change({ waiting: random() < 0.5 })
      made.clock.setTimeout(wait, random() * 60_000)
    }
    wait()
    made.clock.advanceSync(24 * 3_600_000)
    expect(made.probes.length).toBeGreaterThan(5_000)
    expect(made.beats).toEqual([])
  })
})

describe('a message that waits for its answer', () => {
  it('has the peer probed early', () => {
    const { clock, probes, hear, change } = watch(silence)
    hear()
    clock.advanceSync(500)
    change({ waiting: true })
    clock.advanceSync(249)
    expect(probes).toEqual([0])
    clock.advanceSync(1)
    expect(probes).toEqual([0, 750])
  })

  it('has the peer probed at once when it has been quiet for a while already', () => {
    const { clock, probes, beats, change, hear } = watch(silence)
    hear()
    clock.advanceSync(5_000)
    change({ waiting: true })
    clock.advanceSync(0)
    expect(probes).toEqual([0, 5_000])
    clock.advanceSync(1_000)
    expect(beats).toEqual(['missed 6000'])
  })

  it('has the peer probed again as soon as it has been quiet for so long after an answer', () => {
    const { clock, probes, change } = watch(roundTrip(10))
    change({ waiting: true })
    clock.advanceSync(2_300)
    expect(probes).toEqual([0, 760, 1_520, 2_280])
  })

  it('is not kept waiting for three seconds because the round trip is not known yet', () => {
    const { clock, beats, change } = watch(silence, { rhythm: { everyMs: 600_000 } })
    change({ waiting: true })
    clock.advanceSync(750 + 1_250)
    expect(beats).toEqual(['missed 2000'])
  })

  it('is forgotten when it has its answer', () => {
    const { clock, probes, change } = watch(roundTrip(10))
    clock.advanceSync(100)
    change({ waiting: true })
    change({ waiting: false })
    clock.advanceSync(7_900)
    expect(probes).toEqual([0])
  })
})

describe('the rhythm of the peer', () => {
  it('that it announced is expected: one beat may be lost before it is probed', () => {
    const { clock, probes, change, hear } = watch(silence)
    hear()
    change({ rhythm: { expectMs: 3_000 } })
    clock.advanceSync(5_999)
    expect(probes).toEqual([0])
    clock.advanceSync(1)
    expect(probes).toEqual([0, 6_000])
  })

  it('that is slower than our own patience changes nothing', () => {
    const { clock, probes, change, hear } = watch(silence)
    hear()
    change({ rhythm: { expectMs: 30_000 } })
    clock.advanceSync(8_000)
    expect(probes).toEqual([0, 8_000])
  })

  it('that it wants to be probed in is kept, even while it talks', () => {
    const { clock, probes, change, hear } = watch(silence)
    change({ rhythm: { everyMs: 3_000 } })
    for (let n = 0; n < 100; n++) {
      hear()
      clock.advanceSync(100)
    }
    expect(probes).toEqual([0, 3_000, 6_000, 9_000])
  })

  it.each([
    [0, 1_000],
    [-1, 1_000],
    [Number.NEGATIVE_INFINITY, 1_000],
    [999.5, 1_000],
    [41_250, 41_250],
    [1e12, 600_000],
    [Number.POSITIVE_INFINITY, 600_000],
    [Number.NaN, undefined],
    [undefined, undefined],
  ])('of %s ms is taken as %s', (announced, taken) => {
    expect(adjust({}, { expectMs: announced, everyMs: announced })).toMatchObject({ expectMs: taken, everyMs: taken })
  })

  it.each([0, -1, Number.NaN, 1e12, 1e-9])('of %s ms makes no busy loop and no eternity', (ms) => {
    const { clock, probes, change } = watch(roundTrip(1))
    change({ rhythm: adjust({}, { expectMs: ms, everyMs: ms }) })
    clock.advanceSync(60_000)
    expect(probes.length).toBeLessThanOrEqual(61)
    expect(probes.length).toBeGreaterThanOrEqual(7)
  })
})

describe('the first beat of a peer that wants to be probed', () => {
  const patient = { quietMs: 3_600_000 }
  const beatsOf = (seed: number): number[] => {
    const { clock, probes } = watch(roundTrip(10), { ...patient, seed, rhythm: { everyMs: 40_000 } })
    clock.advanceSync(150_000)
    return probes
  }

  it('falls somewhere in its interval, and the others follow at the interval', () => {
    const [first, ...others] = beatsOf(1)
    expect(first).toBeGreaterThan(0)
    expect(first).toBeLessThan(40_000)
    expect(others).toEqual([1, 2, 3].map((n) => first! + n * 40_000).filter((at) => at <= 150_000))
  })

  it('falls elsewhere for each link: a thousand that came up together are no herd', () => {
    const first = Array.from({ length: 1_000 }, (_, seed) => beatsOf(seed)[0]!)
    const perSecond = Array.from({ length: 40 }, (_, n) => first.filter((at) => Math.floor(at / 1_000) === n).length)
    expect(perSecond.reduce((sum, count) => sum + count)).toBe(1_000)
    expect(Math.max(...perSecond)).toBeLessThan(60)
    expect(Math.min(...perSecond)).toBeGreaterThan(5)
  })

  it('is awaited no longer than quiet is', () => {
    const { clock, probes } = watch(roundTrip(10), { rhythm: { everyMs: 600_000 } })
    clock.advanceSync(8_000)
    expect(probes).toEqual([8_000])
  })

  it('R33 does not survive its session', () => {
    const { clock, probes, subscription } = watch(silence, { rhythm: { everyMs: 40_000 } })
    subscription.unsubscribe()
    expect(clock.pending).toBe(0)
    clock.advanceSync(100_000)
    expect(probes).toEqual([])
  })
})

describe('our own stall', () => {
  it.each([
    ['while all was quiet', 20_000],
    ['while a probe was under way', 8_000],
  ])('%s restarts the window with a probe, and blames nobody', (_when, before) => {
    let silent = false
    const { clock, probes, beats } = watch((hear, time) => void (silent || time.setTimeout(hear, 10)))
    clock.advanceSync(before)
    silent = true
    clock.sleep(60_000)
    clock.advanceSync(0)
    expect(beats).toEqual([])
    expect(probes.at(-1)).toBe(before + 60_000)
    clock.advanceSync(999)
    expect(beats).toEqual([])
    clock.advanceSync(1)
    expect(beats).toEqual([`missed ${before + 61_000}`])
  })

  it('is no part of the round trip, when the answer was there before it was noticed', () => {
    let silent = false
    const { clock, beats, hear } = watch((hears, time) => void (silent || time.setTimeout(hears, 10)))
    clock.advanceSync(8_000)
    // asked at 8,010 ms, stalled, and the answer is read first
    silent = true
    clock.advanceSync(10)
    clock.sleep(60_000)
    hear()
    clock.advanceSync(0)
    clock.advanceSync(1_000)
    expect(beats).toEqual([`missed ${8_010 + 60_000 + 1_000}`])
  })

  it('costs nothing when the peer answers the new probe', () => {
    const { clock, beats } = watch(roundTrip(10))
    for (let n = 0; n < 20; n++) {
      clock.sleep(3_000 + 1_000 * n)
      clock.advanceSync(5_000)
    }
    expect(beats).toEqual([])
  })
})

describe('when nobody listens any more', () => {
  it('no timer is left, and nothing is probed', () => {
    const { clock, probes, beats, subscription, hear, change } = watch(silence)
    clock.advanceSync(3_500)
    subscription.unsubscribe()
    expect(clock.pending).toBe(0)
    hear()
    change({ waiting: true })
    clock.advanceSync(60_000)
    expect({ probes, beats, pending: clock.pending }).toEqual({
      probes: [0, 3_000],
      beats: ['missed 3000'],
      pending: 0,
    })
  })

  it('so it is if the listener leaves at the first missed heartbeat', () => {
    const clock = heapClock()
    let probes = 0
    const pulse = {
      inbound$: new Subject<void>(),
      changed$: new Subject<void>(),
      doubted$: new Subject<void>(),
      rhythm: () => ({}),
      waiting: () => false,
      probe: () => void probes++,
    }
    const subscription = heartbeat(pulse, clock, heartbeatDefaults).subscribe(() => subscription.unsubscribe())
    clock.advanceSync(60_000)
    expect({ probes, pending: clock.pending }).toEqual({ probes: 1, pending: 0 })
    expect([pulse.inbound$.observed, pulse.changed$.observed, pulse.doubted$.observed]).toEqual([false, false, false])
  })
})

describe('a doubt from outside: the machine slept, or its network changed', () => {
  it('is a reason to probe at once, and one unanswered probe is enough', () => {
    const { clock, probes, beats, hear, doubt } = watch(silence)
    clock.advanceSync(100)
    hear()
    clock.advanceSync(1_000)
    doubt()
    doubt()
    expect(probes).toEqual([0, 1_100])
    clock.advanceSync(heartbeatDefaults.answerMinMs)
    expect(beats).toEqual(['missed 2100'])
  })

  it('R32 costs nothing while extra probes are answered, however many there are', () => {
    const { clock, probes, beats, doubt } = watch(roundTrip(40))
    for (let n = 0; n < 500; n++) {
      doubt()
      clock.advanceSync(n)
    }
    expect(probes.length).toBeGreaterThan(400)
    expect(beats).toEqual([])
  })
})
