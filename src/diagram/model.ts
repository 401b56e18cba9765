/**
 * A chart as plain data, read from the running machine itself: everything that the pictures and the tables show comes
 * from here, so none of them can say what the machine does not do.
 */
import type { AnyStateMachine, AnyStateNode } from 'xstate'

/** What causes a transition, told apart because each is drawn and worded in its own way. */
export type Trigger =
  | { readonly kind: 'event'; readonly name: string }
  | { readonly kind: 'after'; readonly name: string; readonly ms: number | null }
  | { readonly kind: 'ended' | 'failed'; readonly name: string }
  | { readonly kind: 'done' | 'always'; readonly name: '' }

export interface Action {
  readonly type: string
  readonly params: unknown
}

export interface Arrow {
  /** Path of the state that owns the transition; empty for the chart itself. */
  readonly from: string
  /** The event as the machine knows it, for instance `xstate.after.closeDeadline.link.attached.closing`. */
  readonly event: string
  readonly trigger: Trigger
  readonly guard: string | null
  /** Path of the target; null if the state stays as it is. */
  readonly target: string | null
  /** The description that the chart gives, word for word. */
  readonly because: string | null
  readonly actions: readonly Action[]
}

export interface After {
  readonly name: string
  /** Null if the machine works it out when the time comes. */
  readonly ms: number | null
}

export interface State {
  /** Names from the top to this state, joined by dots. */
  readonly path: string
  readonly name: string
  /** Path of the state around it; empty at the top. */
  readonly parent: string
  readonly kind: AnyStateNode['type']
  /** Path of the state that is entered first; null if nothing is nested here. */
  readonly initial: string | null
  readonly final: boolean
  readonly tags: readonly string[]
  /** Names of the activities that run while the state lasts. */
  readonly invokes: readonly string[]
  readonly after: readonly After[]
  readonly arrows: readonly Arrow[]
}

export interface Chart {
  readonly id: string
  readonly initial: string | null
  /** Transitions of the chart itself: they hold in every state that does not say otherwise. */
  readonly arrows: readonly Arrow[]
  /** Every state, outer before inner, in the order of the source. */
  readonly states: readonly State[]
}

/** Several transitions between the same two states, which a picture shows as one line. */
export interface Edge {
  readonly from: string
  readonly to: string
  readonly arrows: readonly Arrow[]
}

const pathOf = (node: AnyStateNode): string => node.path.join('.')

export const chartOf = (machine: AnyStateMachine): Chart => {
  const { root } = machine
  return {
    id: root.id,
    initial: initialOf(root),
    arrows: arrowsOf(root),
    states: Object.values(root.states as Record<string, AnyStateNode>).flatMap(statesOf),
  }
}

const statesOf = (node: AnyStateNode): State[] => [
  {
    path: pathOf(node),
    name: node.key,
    parent: node.path.slice(0, -1).join('.'),
    kind: node.type,
    initial: initialOf(node),
    final: node.type === 'final',
    tags: [...node.tags],
    invokes: node.invoke.map((invoke) => activityOf(node.machine.root, invoke.id)),
    after: node.after.map(({ delay }) => afterOf(node, delay)),
    arrows: arrowsOf(node),
  },
  ...Object.values(node.states as Record<string, AnyStateNode>).flatMap(statesOf),
]

const initialOf = (node: AnyStateNode): string | null => {
  const target = node.type === 'compound' ? node.initial?.target[0] : undefined
  return target ? pathOf(target) : null
}

/** Transitions that need no event are kept apart by XState; a reader wants all of them. */
const arrowsOf = (node: AnyStateNode): Arrow[] =>
  [...node.transitions.values(), node.always ?? []].flat().flatMap((transition) => {
    const targets: (AnyStateNode | null)[] = transition.target?.length ? [...transition.target] : [null]
    return targets.map((target) => ({
      from: pathOf(node),
      event: transition.eventType,
      trigger: triggerOf(node, transition.eventType),
      guard: transition.guard === undefined ? null : guardOf(transition.guard),
      target: target && pathOf(target),
      because: transition.description ?? null,
      actions: transition.actions.map(actionOf),
    }))
  })

const ended = 'xstate.done.actor.'
const failed = 'xstate.error.actor.'

/** XState names its own events `xstate.<what>.<whom>`; names may hold dots, so they are compared and never cut. */
const triggerOf = (node: AnyStateNode, event: string): Trigger => {
  if (event === '') return { kind: 'always', name: '' }
  if (event === `xstate.done.state.${node.id}`) return { kind: 'done', name: '' }
  const delay = node.after.find(({ eventType }) => eventType === event)
  if (delay) return { kind: 'after', ...afterOf(node, delay.delay) }
  // A state may name the end of an activity that runs in a state around it, or ran before.
  if (event.startsWith(ended)) return { kind: 'ended', name: activityOf(node.machine.root, event.slice(ended.length)) }
  if (event.startsWith(failed))
    return { kind: 'failed', name: activityOf(node.machine.root, event.slice(failed.length)) }
  return { kind: 'event', name: event }
}

/** An activity that was written in place has no name of its own, only the id that it runs under. */
const activityOf = (root: AnyStateNode, id: string): string => {
  const src = invokesOf(root).find((invoke) => invoke.id === id)?.src
  return typeof src === 'string' && !src.startsWith('xstate.invoke.') ? src : id
}

const invokesOf = (node: AnyStateNode): { id: string; src: unknown }[] => [
  ...node.invoke,
  ...Object.values(node.states as Record<string, AnyStateNode>).flatMap(invokesOf),
]

const afterOf = (node: AnyStateNode, delay: unknown): After => {
  if (typeof delay === 'number') return { name: `${delay} ms`, ms: delay }
  const name = typeof delay === 'string' ? delay : 'computed'
  const known: unknown = node.machine.implementations.delays[name]
  return { name, ms: typeof known === 'number' ? known : null }
}

const guardOf = (guard: unknown): string => {
  if (typeof guard === 'string') return guard
  if (typeof guard === 'function') {
    // and(), or() and not() are functions that carry what they combine.
    const parts = 'guards' in guard && Array.isArray(guard.guards) ? guard.guards.map(guardOf) : null
    return parts ? `${guard.name}(${parts.join(', ')})` : guard.name || 'guard'
  }
  return (guard as { type: string }).type
}

const actionOf = (action: unknown): Action => {
  if (typeof action === 'string') return { type: action, params: undefined }
  if (typeof action === 'function') return { type: action.name || 'action', params: undefined }
  const { type, params } = action as { type: string; params?: unknown }
  return { type, params }
}

/**
 * The lines of a picture. A transition that stays where it is counts only if it does something; one that does nothing
 * is there to silence the state around it, and the table says so.
 */
export const edgesOf = (chart: Chart): Edge[] => {
  const edges = new Map<string, { from: string; to: string; arrows: Arrow[] }>()
  for (const arrow of [...chart.arrows, ...chart.states.flatMap((state) => state.arrows)]) {
    if (arrow.target === null && arrow.actions.length === 0) continue
    const to = arrow.target ?? arrow.from
    const key = JSON.stringify([arrow.from, to])
    const edge = edges.get(key) ?? { from: arrow.from, to, arrows: [] }
    edges.set(key, edge)
    edge.arrows.push(arrow)
  }
  return [...edges.values()]
}

/** What has to happen, in as few words as a label has room for. */
export const triggerText = (trigger: Trigger): string => {
  switch (trigger.kind) {
    case 'event':
      return trigger.name
    case 'after':
      return `after ${trigger.name}`
    case 'done':
      return 'done'
    case 'always':
      return 'at once'
    default:
      return `${trigger.name} ${trigger.kind}`
  }
}

export const arrowText = ({ trigger, guard }: Arrow): string =>
  guard === null ? triggerText(trigger) : `${triggerText(trigger)} [${guard}]`

/** What may happen to take one edge. That an activity ended and that it failed is said in one breath. */
export const causesOf = (arrows: readonly Arrow[]): string[] => {
  const texts = new Set(arrows.map(arrowText))
  return [...texts].flatMap((text) => {
    const ended = text.replace(/ failed$/, ' ended')
    if (ended !== text && texts.has(ended)) return []
    return texts.has(text.replace(/ ended$/, ' failed')) && text.endsWith(' ended') ? [`${text} or failed`] : [text]
  })
}

/** What keeps the link from staying in a state for ever. */
export type Hold =
  | { readonly kind: 'deadline'; readonly after: After }
  | { readonly kind: 'watched'; readonly by: string }
  | { readonly kind: 'waits'; readonly events: readonly string[] }
  | { readonly kind: 'final' | 'nested' }

export const holdOf = (chart: Chart, state: State): Hold => {
  if (state.final) return { kind: 'final' }
  if (state.initial !== null || state.kind === 'parallel') return { kind: 'nested' }
  const leaving = state.arrows.filter(({ target }) => target !== null)
  const deadline = leaving.find(({ trigger }) => trigger.kind === 'after')?.trigger
  if (deadline?.kind === 'after') return { kind: 'deadline', after: { name: deadline.name, ms: deadline.ms } }
  const watcher = innermostActivity(chart, state)
  if (watcher !== undefined) return { kind: 'watched', by: watcher }
  return { kind: 'waits', events: [...new Set(leaving.map(({ trigger }) => triggerText(trigger)))] }
}

const innermostActivity = (chart: Chart, state: State): string | undefined => {
  if (state.invokes.length > 0) return state.invokes.at(-1)
  const around = chart.states.find(({ path }) => path === state.parent)
  return around && innermostActivity(chart, around)
}

/** 120000 as `2 min`, 2000 as `2 s`: the largest unit that needs no fraction. */
export const duration = (ms: number): string => {
  if (ms >= 3_600_000 && ms % 3_600_000 === 0) return `${ms / 3_600_000} h`
  if (ms >= 60_000 && ms % 60_000 === 0) return `${ms / 60_000} min`
  return ms >= 1_000 && ms % 100 === 0 ? `${ms / 1_000} s` : `${ms} ms`
}
