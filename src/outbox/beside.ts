/** What goes beside the transport: how it ended, and what that means for its message. */
import type { TaskOutgoing } from '../adapter/adapter.ts'
import { textOf } from '../error.ts'
import type { Scrub } from '../secret.ts'

export class BesideError extends Error {
  readonly delivered: 'refused' | 'uncertain'

  constructor(delivered: 'refused' | 'uncertain', message: string) {
    super(message)
    this.delivered = delivered
  }
}

/** Calls somebody else's client. Rejects with BesideError. */
export const runTask = async ({ run }: TaskOutgoing, signal: AbortSignal, scrub: Scrub): Promise<unknown> => {
  try {
    return await run(signal)
  } catch (error) {
    const isRefused = (error as { delivered?: unknown } | undefined)?.delivered === 'refused'
    throw new BesideError(isRefused ? 'refused' : 'uncertain', scrub(textOf(error)))
  }
}
