/** holdfast: keeps a chat bot's connection held. */
export type { FaultKind, FaultRow, FaultSide } from '../machines/fault.ts'
export { type Fault, type FaultCode, faults } from '../machines/fault.ts'
export type { StateName } from '../machines/link.ts'
export type { Adapter, RationedStarts, Session } from './adapter/adapter.ts'
export {
  type BudgetOptions,
  type BudgetStore,
  defaultBudgetDir,
  fileBudgetStore,
  memoryBudgetStore,
  type SessionBudget,
  sessionBudget,
} from './budget.ts'
export type { Clock } from './clock.ts'
export { type ErrorCode, HoldfastError, isHoldfastError } from './error.ts'
export type { Explanation, LinkStatus } from './explain.ts'
export { type FileStoreOptions, fileStore } from './file-store.ts'
export { type Fleet, type FleetChange, type FleetOptions, fleet } from './fleet.ts'
export { type HandOver, loadHandOver, saveHandOver } from './hand-over.ts'
export {
  type AccountHealth,
  type DependentHealth,
  type Health,
  type HealthOptions,
  type HealthReport,
  type HealthServer,
  health,
  type LinkHealth,
  type ProcessHealth,
} from './health.ts'
export {
  type CallOptions,
  type ContinuityRecord,
  connect,
  type Link,
  type LinkStats,
  type Receipt,
  type Sending,
  type SendOptions,
} from './link.ts'
export type { Recording, TransitionRecord } from './observe/recorder.ts'
export { readTraceFile, type Tracing, traceTo } from './observe/trace.ts'
export type { TraceOptions } from './observe/trace-file.ts'
export { readTrace, type Trace, type TraceHeader, type TraceNotice } from './observe/trace-format.ts'
export type { Deadlines, LinkOptions } from './options.ts'
export type { Outage, OutageNotice } from './outage/outage.ts'
export type { Logger } from './outage/outage-log.ts'
export type { OnParked, ParkedNotice } from './outage/parked.ts'
export type { FallbackOptions, Fate, Handed, SettledMessage } from './outbox/outbox.ts'
export { Secret, secret } from './secret.ts'
export {
  type RunningService,
  type ServiceOptions,
  type ServiceState,
  type ServiceStatus,
  service,
  type WhenLost,
} from './service.ts'
export { type SignalOptions, stopOnSignals } from './signals.ts'
export { type Change, memoryStore, type Store } from './store.ts'
