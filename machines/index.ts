/** The machines as XState logic, for walks, diagrams and inspectors. The only entry whose types mention xstate. */
export * from './breaker.ts'
export * from './delay.ts'
export * from './fault.ts'
export * from './lease.ts'
export * from './link.ts'
export * from './service.ts'
