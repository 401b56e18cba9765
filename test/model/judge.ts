/** What the rules are made of: a rule looks at a model and says what is wrong with it. */
import type { AnyStateNode, EventObject } from 'xstate'
import { TIMER_MAX_MS } from '../../machines/delay.ts'
import type { Fault, FaultCode } from '../../machines/fault.ts'
import { type LinkContext, type StateName, stateName } from '../../machines/link.ts'
import type { Model } from './link-model.ts'
import { type Edge, endingOf, type Snapshot, type State } from './walk.ts'

/** One line for each violation; nothing to say is a proof. */
export type Rule = (model: Model) => string[]

export interface Happening<Name extends string = StateName, Context = LinkContext> {
  readonly state: State
  readonly event: EventObject
  readonly before: Context
  readonly after: Snapshot
  /** Where the event led. */
  readonly name: Name
  /** The context that it left. */
  readonly context: Context
}

type Verdict<H> = (happening: H) => string | false

export const label = (event: EventObject): string => {
  const { fault } = event as { fault?: Fault }
  return fault ? `${event.type}{${fault.code}}` : event.type
}

export const fact = (type: string): EventObject => ({ type })

/** The innermost state that is active: charts here have no parallel regions. */
export const leafOf = (snapshot: Snapshot): AnyStateNode =>
  (snapshot._nodes as AnyStateNode[]).reduce((a, b) => (a.path.length > b.path.length ? a : b))

/** The words in which the rules of one machine are said, given how its states are named. */
export const judgeOf = <Name extends string, Context>(nameOfValue: (value: unknown) => Name) => {
  type Case = Happening<Name, Context>
  const nameOf = (state: State): Name => nameOfValue(state.snapshot.value)

  const statesOf = (model: Model, names?: readonly Name[]): State[] =>
    [...model.graph.states.values()].filter((state) => !names || names.includes(nameOf(state)))

  const happen = (model: Model, state: State, event: EventObject): Case => {
    const after = model.step(state.snapshot, event)
    const before = state.snapshot.context as Context
    return { state, event, before, after, name: nameOfValue(after.value), context: after.context as Context }
  }

  /** Offers the events in every abstract state of these names, and collects what the verdict finds wrong. */
  const whenIn = (
    model: Model,
    names: readonly Name[],
    events: readonly EventObject[],
    verdict: Verdict<Case>,
  ): string[] =>
    statesOf(model, names).flatMap((state) =>
      events.flatMap((event) => {
        const happening = happen(model, state, event)
        const wrong = verdict(happening)
        return wrong ? [`${state.key} on ${label(event)} goes to ${happening.name}: ${wrong}`] : []
      }),
    )

  const leadsTo =
    (name: Name, and: Verdict<Case> = () => false): Verdict<Case> =>
    (happening) =>
      happening.name === name ? and(happening) : `expected ${name}`

  /** What each state hears is written down here a second time: whatever else comes leaves everything as it was. */
  const unexpectedIsInert = (hears: Readonly<Record<Name, readonly string[]>>): Rule => {
    const isHeard = ({ from, event: { type } }: Edge): boolean => {
      const nodes = from.snapshot._nodes as AnyStateNode[]
      if (type.startsWith('xstate.after.'))
        return nodes.some(({ after }) => after.some((arrow) => arrow.eventType === type))
      if (!type.startsWith('xstate.')) return hears[nameOf(from)].includes(type)
      const endings = Object.keys(from.snapshot.children).flatMap((id) => [endingOf('done', id), endingOf('error', id)])
      return endings.includes(type)
    }
    return ({ graph }) => [
      ...graph.broken,
      ...graph.edges.filter((edge) => !isHeard(edge)).map(({ from, event }) => `${from.key} hears ${label(event)}`),
    ]
  }

  return { nameOf, statesOf, happen, whenIn, leadsTo, unexpectedIsInert }
}

/** The names of the waits that run in a state. */
export const delaysOf = ({ snapshot }: State): string[] =>
  (snapshot._nodes as AnyStateNode[]).flatMap(({ after }) => after.map(({ delay }) => String(delay)))

/** How long the machine waits with this context, in milliseconds. */
export const waitOf = (model: Model, name: string, context: unknown): number => {
  const delay = model.machine.implementations.delays[name] as number | ((args: { context: unknown }) => number)
  return typeof delay === 'function' ? delay({ context }) : delay
}

/** The least and the most of each wait, by its name. */
export type Bounds = Readonly<Record<string, readonly [leastMs: number, mostMs: number]>>

export interface Asked {
  /** The wait that is as long as the peer asks for, at least. */
  readonly delay: string
  /** If nobody asks it is no longer than this. */
  readonly elseMaxMs?: number
}

/** Every wait is within its bounds, in every state, and with each of the changes to its context. */
export const waitsAreBounded =
  (bounds: Bounds, asked?: Asked, changes: readonly object[] = [{}]): Rule =>
  (model) =>
    [...model.graph.states.values()].flatMap((state) =>
      delaysOf(state).flatMap((name) =>
        changes.flatMap((change) => {
          const context = { ...state.snapshot.context, ...change } as { fault?: Fault | null }
          const askedMs = name === asked?.delay ? context.fault?.retryAfterMs : undefined
          const [leastMs, mostMs] = bounds[name] ?? [Number.NaN, Number.NaN]
          const elseMaxMs = name === asked?.delay && askedMs === undefined ? asked.elseMaxMs : undefined
          const ms = waitOf(model, name, context)
          const fits = ms >= Math.max(leastMs, askedMs ?? 0) && ms <= Math.min(elseMaxMs ?? mostMs, TIMER_MAX_MS)
          return Number.isInteger(ms) && fits ? [] : [`${state.key} waits ${ms} ms for ${name}`]
        }),
      ),
    )

/**
 * The number of the first rule that one of the models breaks, with one example, or null. Rules are pure, so their order is
 * free.
 */
export const firstBroken = (rules: Readonly<Record<string, Rule>>, models: Iterable<Model>): string | null => {
  for (const model of models) {
    for (const [number, rule] of Object.entries(rules)) {
      const [violation] = rule(model)
      if (violation !== undefined) return `${number}: ${violation}`
    }
  }
  return null
}

/** Adapters may be written in plain JavaScript, so a fault may be anything. */
export const malformedFaults: readonly unknown[] = [
  undefined,
  null,
  5,
  'refused',
  {},
  { code: 'no-such-code' },
  { code: 'toString' },
]

/** The words for the link. */
export const { statesOf, happen, whenIn, leadsTo, unexpectedIsInert } = judgeOf<StateName, LinkContext>(stateName)

export const keepsSpent = ({ before, context }: Happening): string | false =>
  JSON.stringify(before.spent) !== JSON.stringify(context.spent) && 'what was spent changed'

export const keepsContext = (happening: Happening): string | false =>
  keepsSpent(happening) || (happening.before.fault !== happening.context.fault && 'the fault changed')

export const blames =
  (code: FaultCode) =>
  ({ context }: Happening): string | false =>
    context.fault?.code !== code && `blames ${context.fault?.code}, not ${code}`

export const notesItsFault = ({ event, context }: Happening): string | false =>
  context.fault !== (event as unknown as { fault: Fault }).fault && 'the fault is not noted'
