/** The state of the page, all of it: what is looked at, how it is looked at, and where it comes from. */
import { batch, computed, effect, signal } from '@preact/signals'
import type { Agg, Command } from '../src/observe/inspect/protocol.ts'
import type { TransitionRecord } from '../src/observe/recorder.ts'
import type { Fleet } from './fleet.ts'
import { remembered } from './memory.ts'
import { byUrgency } from './palette.ts'
import { Playback } from './playback.ts'
import type { Link, Source } from './source.ts'
import { readTrace, type Trace } from './trace.ts'
import { stateWord } from './words.ts'

// Where it comes from

export type Connection =
  | { readonly phase: 'none' | 'connecting' | 'open' | 'refused' | 'malformed' }
  | { readonly phase: 'stale'; readonly since: number; readonly againAt: number }

export const connection = signal<Connection>({ phase: 'none' })
export const fleet = signal<Fleet | null>(null)
export const aggregate = signal<Agg | null>(null)
export const traces = signal<readonly Playback[]>([])
export const reading = signal<number | null>(null)
export const source = computed<Source | null>(() => traces.value[0] ?? fleet.value)
export const replaying = computed(() => traces.value.length > 0)

/** Counts up when the source has changed in a way that is to be shown. */
export const version = signal(0)
/** Counts up when links came or went. */
export const membership = signal(0)
/** Counts up once a second and ten times a second, for what changes by waiting. */
export const second = signal(0)
export const tenth = signal(0)
export const paused = signal(false)
/** Transitions of the chosen link that came while the view was paused. */
export const unseen = signal(0)

/** The source has changed; `count` transitions of the chosen link were in it. */
export const changed = (count = 0): void => {
  if (paused.value && !replaying.value) unseen.value += count
  else version.value++
}

const pausedAt = signal(0)

/** The moment that everything on the page speaks of: it stands still while the view is paused. */
export const shownAt = (): number => {
  version.value
  if (paused.value && !replaying.value) return pausedAt.value
  tenth.value
  return source.value?.now() ?? 0
}

/** Shows how it is now, and then stands still again if it did. */
export const refresh = (): void => {
  batch(() => {
    pausedAt.value = source.peek()?.now() ?? 0
    unseen.value = 0
    version.value++
  })
}

export const pause = (wanted = !paused.value): void => {
  batch(() => {
    paused.value = wanted
    refresh()
  })
}

// What is looked at

export type Sort = 'id' | 'state' | 'for'

export const filter = signal('')
/** States that are shown; none means all. */
export const wantedStates = signal<ReadonlySet<string>>(new Set())
export const sort = signal<Sort>('state')
export const chosenIndex = signal(-1)
/** A copy, so that whoever looks at it hears of every change. */
export const chosen = computed<Link | undefined>(() => {
  version.value
  membership.value
  const link = source.value?.link(chosenIndex.value)
  return link && { ...link }
})

const fits = (link: Link, text: string): boolean =>
  link.id.toLowerCase().includes(text) ||
  link.adapter.toLowerCase().includes(text) ||
  stateWord(link.state).toLowerCase().includes(text) ||
  (link.fault?.includes(text) ?? false)

const named = computed<readonly Link[]>(() => {
  version.value
  membership.value
  const links = source.value?.links ?? []
  const text = filter.value.trim().toLowerCase()
  return text === '' ? links : links.filter((link) => fits(link, text))
})

/** A state that was seen once keeps its chip: a row that grows and shrinks makes all below it jump. */
const seen = new Set<string>()

/** Links by state, of those that fit the text. */
export const counts = computed<ReadonlyMap<string, number>>(() => {
  version.value
  membership.value
  for (const { state } of source.value?.links ?? []) seen.add(state)
  const found = new Map([...seen].map((state) => [state, 0]))
  for (const { state } of named.value) found.set(state, (found.get(state) ?? 0) + 1)
  return new Map([...found].sort(([a], [b]) => byUrgency(a, b)))
})

/** Above this, order and filter follow once a second: cells that jump ten times a second help nobody. */
const CALM = 500
const pace = computed(() => ((source.value?.links.length ?? 0) > CALM ? second.value : version.value))

/** What the grid and the timeline show, in this order. */
export const shown = computed<readonly Link[]>(() => {
  pace.value
  membership.value
  const wanted = wantedStates.value
  const links = wanted.size === 0 ? named.value : named.value.filter(({ state }) => wanted.has(state))
  if (sort.value === 'id') return links
  if (sort.value === 'for') return [...links].sort((a, b) => a.since - b.since)
  const groups = new Map<string, Link[]>()
  for (const link of links) {
    const group = groups.get(link.state)
    if (group) group.push(link)
    else groups.set(link.state, [link])
  }
  return [...groups].sort(([a], [b]) => byUrgency(a, b)).flatMap(([, group]) => group)
})

/** Whether a person chose the link: what the page chose for itself gives way to others. */
export const isChosen = signal(false)
/** The name of the chosen link, if it is no more. */
export const gone = signal<string | null>(null)

export const choose = (index: number, byPerson = true): void => {
  batch(() => {
    chosenIndex.value = index
    isChosen.value = byPerson
    gone.value = null
  })
}

/** Chooses the link so many places further on; stays at the ends. */
export const move = (by: number): void => {
  const links = shown.peek()
  if (links.length === 0) return
  const here = links.findIndex(({ index }) => index === chosenIndex.peek())
  const next = here < 0 ? 0 : Math.min(links.length - 1, Math.max(0, here + by))
  choose(links[next]!.index)
}

/** The transitions of the chosen link that were told last, for the flash. */
export const moved = signal<readonly TransitionRecord[]>([])

// Orders

export interface Answer {
  readonly n: number
  readonly what: string
  readonly isFault: boolean
  /** Absent while the answer has not come. */
  readonly error?: string | null
}

export const answers = signal<readonly Answer[]>([])

/** Set by the stream. */
export const orders: { send: ((cmd: Command, more: { index?: number; fault?: string }) => void) | null } = {
  send: null,
}
/** An order that nobody hears is not offered. */
export const canOrder = computed(
  () => connection.value.phase === 'open' && !replaying.value && fleet.value?.hello.control === true,
)

// Replay

export const moment = signal(0)
export const playing = signal(false)
export const speed = signal(1)

/** What the address says: which link, which moment. Taken when there is something to apply it to. */
export const wanted: { link: string | null; moment: number | null } = { link: null, moment: null }

const playFrom = (at: number): number => {
  const { begin, end } = traces.peek()[0]!.trace
  return Math.min(end, Math.max(begin, at))
}

/** Moves all traces: the first to the moment, the others as far from their beginning. */
export const moveTo = (at: number): void => {
  const [first] = traces.peek()
  if (!first) return
  const to = playFrom(at)
  for (const playback of traces.peek()) playback.moveTo(playback.begin + (to - first.begin))
  batch(() => {
    moment.value = to
    version.value++
  })
}

/** To the next transition of the chosen link, or of any if none is chosen; -1 goes back. */
export const step = (by: 1 | -1): void => {
  const [first] = traces.peek()
  if (!first) return
  const records = first.records(chosenIndex.peek())
  const here = first.position(chosenIndex.peek())
  const next = Math.min(records.length - 1, here + by)
  moveTo(next < 0 ? first.begin : records.at(next))
}

export const play = (on = !playing.value): void => {
  const [first] = traces.peek()
  if (on && first && moment.peek() >= first.trace.end) moveTo(first.begin)
  playing.value = on
}

effect(() => {
  if (!playing.value) return
  let before = performance.now()
  let frame = requestAnimationFrame(function advance(now) {
    const to = moment.peek() + (now - before) * speed.peek()
    before = now
    moveTo(to)
    if (to >= (traces.peek()[0]?.trace.end ?? 0)) playing.value = false
    else frame = requestAnimationFrame(advance)
  })
  return () => cancelAnimationFrame(frame)
})

export const showTrace = (trace: Trace, beside: boolean): void => {
  const playback = new Playback(trace)
  batch(() => {
    playing.value = false
    const [first] = traces.peek()
    traces.value = beside && first ? [first, playback] : [playback]
    membership.value++
    if (beside && first) return moveTo(moment.peek())
    choose(-1, false)
    applyWanted()
    if (chosenIndex.peek() < 0) choose(playback.links[0]?.index ?? -1, false)
    moveTo(trace.begin + (wanted.moment ?? 0))
    wanted.moment = null
  })
}

export const openFile = async (file: File, beside = false): Promise<void> => {
  reading.value = 0
  try {
    showTrace(await readTrace(file, (share) => (reading.value = share)), beside)
  } finally {
    reading.value = null
  }
}

export const closeTraces = (): void => {
  batch(() => {
    playing.value = false
    traces.value = []
    choose(-1, false)
    membership.value++
  })
  applyWanted()
  if (chosenIndex.peek() < 0) choose(shown.peek()[0]?.index ?? -1, false)
}

/** Chooses the link that the address names, once it is there. */
export const applyWanted = (): void => {
  if (wanted.link === null) return
  const link = source.peek()?.links.find(({ id }) => id === wanted.link)
  if (!link) return
  wanted.link = null
  choose(link.index)
}

// How it is looked at

export type Theme = 'system' | 'light' | 'dark'

export const themes: readonly Theme[] = ['system', 'light', 'dark']
export const theme = signal<Theme>(remembered('theme', themes) ?? 'system')
const darkSystem = matchMedia('(prefers-color-scheme: dark)')
const systemIsDark = signal(darkSystem.matches)
darkSystem.addEventListener('change', ({ matches }) => (systemIsDark.value = matches))
export const isDark = computed(() => (theme.value === 'system' ? systemIsDark.value : theme.value === 'dark'))

const stillWanted = matchMedia('(prefers-reduced-motion: reduce)')
export const motionless = signal(stillWanted.matches)
stillWanted.addEventListener('change', ({ matches }) => (motionless.value = matches))

export const helpOpen = signal(false)

/** Waiting changes nothing on a page that nobody sees. */
export const startTicking = (): void => {
  setInterval(() => {
    if (!document.hidden) tenth.value++
  }, 100)
  setInterval(() => {
    if (!document.hidden && !paused.value) second.value++
  }, 1_000)
}
