/** The arrows of the chart, one for each innermost state, so that a run set can say which of them it took. */
import { linkMachine, type StateName } from '../../machines/link.ts'
import { type Arrow, type Chart, chartOf, type State } from '../../src/diagram/model.ts'

/** `attached.session.degraded.suspect` is called `degraded.suspect`, `attached.connecting` is called `connecting`. */
const nameOf = (path: string): StateName => {
  const [leaf, parent] = path.split('.').reverse()
  return (parent === 'degraded' ? `degraded.${leaf}` : leaf) as StateName
}

const leafAt = (chart: Chart, path: string): string => {
  const state = chart.states.find((each) => each.path === path)!
  return state.initial === null ? path : leafAt(chart, state.initial)
}

/** The states around a state, itself first, and the chart last. */
const outward = (chart: Chart, path: string): readonly (readonly Arrow[])[] => {
  const state = chart.states.find((each) => each.path === path)
  return state ? [state.arrows, ...outward(chart, state.parent)] : [chart.arrows]
}

/** The arrows that can be taken from a state: one that is nearer hides those of the same event further out. */
const arrowsFrom = (chart: Chart, { path }: State): Arrow[] => {
  const heard = new Set<string>()
  return outward(chart, path).flatMap((arrows) => {
    const fresh = arrows.filter(({ event }) => !heard.has(event))
    for (const { event } of fresh) heard.add(event)
    return fresh
  })
}

export interface ChartArrows {
  /** `from event to`, worded as the transition records word it. */
  readonly facts: readonly string[]
  /** An activity that ends by itself: the chart is ready for it, and no activity of the shell ever does it. */
  readonly endings: readonly string[]
}

export const chartArrows = (): ChartArrows => {
  const chart = chartOf(linkMachine)
  const facts: string[] = []
  const endings: string[] = []
  for (const state of chart.states.filter(({ initial, final }) => initial === null && !final)) {
    for (const { event, trigger, target, actions } of arrowsFrom(chart, state)) {
      if (target === null && actions.length === 0) continue
      const to = target === null ? nameOf(state.path) : nameOf(leafAt(chart, target))
      const name = trigger.kind === 'after' ? `after ${trigger.name}` : `activity ${trigger.kind}`
      const arrow = `${nameOf(state.path)} ${trigger.kind === 'event' ? trigger.name : name} ${to}`
      const isEnding = event.startsWith('xstate.done.actor.') || event.startsWith('xstate.error.actor.')
      ;(isEnding ? endings : facts).push(arrow)
    }
  }
  return { facts: [...new Set(facts)], endings: [...new Set(endings)] }
}
