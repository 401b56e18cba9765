/** The machines that `holdfast diagram` knows by name. One more row here is all that a new one needs. */
import type { AnyStateMachine } from 'xstate'
import { breakerMachine } from '../../machines/breaker.ts'
import { linkMachine } from '../../machines/link.ts'
import { serviceMachine } from '../../machines/service.ts'
import { type Layout, linkLayout } from './layout.ts'

export interface BuiltIn {
  readonly machine: AnyStateMachine
  /** Where its parts stand in a drawing, if somebody placed them. */
  readonly layout?: Layout
}

const all = {
  link: { machine: linkMachine, layout: linkLayout },
  breaker: { machine: breakerMachine },
  service: { machine: serviceMachine },
} satisfies Record<string, BuiltIn>

export const builtIns: ReadonlyMap<string, BuiltIn> = new Map(Object.entries(all))
