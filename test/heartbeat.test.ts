/** The watch over a session, in virtual time: when it probes, when it says `missed`, and whom it never blames. */
import { Subject, type Subscription } from 'rxjs'
import { describe, expect, it } from 'vitest'
import { clampRhythm, type HeartbeatOptions, heartbeat, heartbeatDefaults, type Rhythm } from '../src/heartbeat.ts'
import { type HeapClock, heapClock, seededRandom } from '../src/testing/heap-clock.ts'
import { follow, type Rig, rig } from './small-talk.ts'

interface Watch {
  readonly clock: HeapClock
  /** Milliseconds at which it probed. */
  readonly probes: number[]
  /** What it said, with the milliseconds. */
  readonly beats: string[]
  readonly subscription: Subscription
  hear(): void
  change(more: { rhythm?: Rhythm; waiting?: boolean }): void
}

/** `answer` is called at each probe, with a function that makes something arrive. */
const watch = (answer: (hear: () => void, clock: HeapClock) => void, over: Partial<HeartbeatOptions> = {}): Watch => {
  const clock = heapClock()
  const inbound$ = new Subject<void>()
  const changed$ = new Subject<void>()
  const state = { rhythm: {} as Rhythm, waiting: false }
  const probes: number[] = []
  const beats: string[] = []
  const hear = () => inbound$.next()
  const pulse = {
    inbound$,
    changed$,
    doubted$: new Subject<void>(),
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
  return { clock, probes, beats, subscription, hear, change }
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
    clock.advanceSync(12_000)
    const missedAt = Number(beats[0]?.replace('missed ', ''))
    return missedAt - probes.filter((at) => at < missedAt).at(-1)!
  }

  it('is four round trips, and never less than one second or more than three', () => {
    expect([1, 200, 250, 400, 600, 750, 1_000, 2_900].map(patience)).toEqual([
      1_000, 1_000, 1_000, 1_600, 2_400, 3_000, 3_000, 3_000,
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
  it('that it announced is expected, with half of it for grace', () => {
    const { clock, probes, change, hear } = watch(silence)
    hear()
    change({ rhythm: { expectMs: 4_000 } })
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
    expect(clampRhythm(announced)).toBe(taken)
  })

  it.each([0, -1, Number.NaN, 1e12, 1e-9])('of %s ms makes no busy loop and no eternity', (ms) => {
    const { clock, probes, change } = watch(roundTrip(1))
    change({ rhythm: { expectMs: clampRhythm(ms), everyMs: clampRhythm(ms) } })
    clock.advanceSync(60_000)
    expect(probes.length).toBeLessThanOrEqual(61)
    expect(probes.length).toBeGreaterThanOrEqual(7)
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
    const clock = heapClock()
    const probes: number[] = []
    const doubted$ = new Subject<void>()
    const inbound$ = new Subject<void>()
    const pulse = {
      inbound$,
      changed$: new Subject<void>(),
      doubted$,
      rhythm: () => ({}),
      waiting: () => false,
      probe: () => void probes.push(clock.now()),
    }
    const beats: string[] = []
    const subscription = heartbeat(pulse, clock, heartbeatDefaults).subscribe(({ type }) => beats.push(type))
    clock.advanceSync(100)
    inbound$.next()
    clock.advanceSync(1_000)
    doubted$.next()
    doubted$.next()
    expect(probes).toEqual([0, 1_100])
    clock.advanceSync(heartbeatDefaults.answerMinMs)
    expect(beats).toEqual(['heartbeat.missed'])
    subscription.unsubscribe()
  })
})

describe('a whole link whose peer freezes', () => {
  const frozen = async (afterMs: number): Promise<Rig> => {
    const made = rig()
    await made.live()
    await made.clock.advance(afterMs)
    made.network.healthy = false
    return made
  }
  /** Milliseconds until the link has given the transport up. */
  const noticed = async ({ clock, link }: Rig): Promise<number> => {
    const since = clock.now()
    while (link.status.state !== 'backoff') await clock.advance(clock.nextInMs!)
    expect(link.status.fault?.code).toBe('heartbeat-timeout')
    return clock.now() - since
  }

  it.each([0, 5, 1_234, 7_999, 8_010, 8_025, 20_000])('%i ms after it went live is noticed within 15 s', async (ms) => {
    const made = await frozen(ms)
    expect(await noticed(made)).toBeLessThanOrEqual(15_000)
    await made.end()
  })

  it.each([10, 1_234, 7_999, 8_025, 20_000])('%i ms after it went live is noticed within 4 s by a call', async (ms) => {
    const made = await frozen(ms)
    const answer = follow(made.link.call('ask', { text: 'are you there' }))
    expect(await noticed(made)).toBeLessThanOrEqual(4_000)
    await made.clock.advance(0)
    expect(answer.error).toMatchObject({ code: 'uncertain' })
    await made.end()
  })

  it('far away is never in doubt while it answers: the welcome does not pass for the answer to the first probe', async () => {
    const { clock, link, network, end } = rig()
    network.latencyMs = 1_500
    await clock.advance(100_000)
    expect(link.recording.kept.map(({ to }) => to)).toEqual(['connecting', 'handshaking', 'registered', 'live'])
    await end()
  })

  it('and thaws within the grace keeps its transport', async () => {
    const made = await frozen(1_000)
    while (made.link.status.state !== 'degraded.suspect') await made.clock.advance(made.clock.nextInMs!)
    await made.clock.advance(500)
    made.network.healthy = true
    await made.clock.advance(1_500)
    expect(made.link.status.state).toBe('live')
    expect(made.network.transports).toHaveLength(1)
    await made.end()
  })
})
