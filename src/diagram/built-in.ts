/** The machines that `holdfast diagram` knows by name. One more row here is all that a new one needs. */
import type { AnyStateMachine } from 'xstate'
import { breakerMachine } from '../../machines/breaker.ts'
import { leaseMachine } from '../../machines/lease.ts'
import { linkMachine } from '../../machines/link.ts'
import { serviceMachine } from '../../machines/service.ts'
import { breakerLayout } from './breaker-layout.ts'
import type { Layout } from './layout.ts'
import { leaseLayout } from './lease-layout.ts'
import { linkLayout } from './link-layout.ts'
import { serviceLayout } from './service-layout.ts'

export interface BuiltIn {
  readonly machine: AnyStateMachine
  /** Where its parts stand in a drawing. */
  readonly layout?: Layout
}

const all = {
  link: { machine: linkMachine, layout: linkLayout },
  breaker: { machine: breakerMachine, layout: breakerLayout },
  service: { machine: serviceMachine, layout: serviceLayout },
  lease: { machine: leaseMachine, layout: leaseLayout },
} satisfies Record<string, BuiltIn>

export const builtIns: ReadonlyMap<string, BuiltIn> = new Map(Object.entries(all))
