/** What the rules are made of: a rule looks at a model and says what is wrong with it. */
import type { AnyStateNode, EventObject } from 'xstate'
import type { Fault, FaultCode } from '../../machines/fault.ts'
import { type LinkContext, type StateName, stateName } from '../../machines/link.ts'
import { contextOf, type Model, nameOf } from './link-model.ts'
import type { Snapshot, State } from './walk.ts'

/** One line for each violation; nothing to say is a proof. */
export type Rule = (model: Model) => string[]

export interface Happening {
  readonly state: State
  readonly event: EventObject
  readonly before: LinkContext
  readonly after: Snapshot
  /** Where the event led. */
  readonly name: StateName
  /** The context that it left. */
  readonly context: LinkContext
}

export const label = (event: EventObject): string => {
  const { fault } = event as { fault?: Fault }
  return fault ? `${event.type}{${fault.code}}` : event.type
}

export const statesOf = (model: Model, names?: readonly StateName[]): State[] =>
  [...model.graph.states.values()].filter((state) => !names || names.includes(nameOf(state)))

/** The innermost state that is active: charts here have no parallel regions. */
export const leafOf = (snapshot: Snapshot): AnyStateNode =>
  (snapshot._nodes as AnyStateNode[]).reduce((a, b) => (a.path.length > b.path.length ? a : b))

export const happen = (model: Model, state: State, event: EventObject): Happening => {
  const after = model.step(state.snapshot, event)
  const before = contextOf(state.snapshot)
  return { state, event, before, after, name: stateName(after.value), context: contextOf(after) }
}

/** Offers the events in every abstract state of these names, and collects what the verdict finds wrong. */
export const whenIn = (
  model: Model,
  names: readonly StateName[],
  events: readonly EventObject[],
  verdict: (happening: Happening) => string | false,
): string[] =>
  statesOf(model, names).flatMap((state) =>
    events.flatMap((event) => {
      const happening = happen(model, state, event)
      const wrong = verdict(happening)
      return wrong ? [`${state.key} on ${label(event)} goes to ${happening.name}: ${wrong}`] : []
    }),
  )

export const fact = (type: string): EventObject => ({ type })

export const leadsTo =
  (name: StateName, and: (happening: Happening) => string | false = () => false) =>
  (happening: Happening): string | false =>
    happening.name === name ? and(happening) : `expected ${name}`

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
