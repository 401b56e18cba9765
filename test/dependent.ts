/** A thing that depends on a link and keeps books of itself: how often it was started, and how many of it are up. */

import type { Started } from '../src/service/instance.ts'
import { type RunningService, type ServiceOptions, service } from '../src/service.ts'
import { type Rig, type RigOptions, rig } from './small-talk.ts'

/** How a start goes: it throws this, never answers, or runs. */
export type Outcome = Error | 'hangs' | 'runs'

/** As the system says it. */
export const portInUse = (): Error =>
  Object.assign(new Error('listen EADDRINUSE: address already in use :::8080'), { code: 'EADDRINUSE' })

export class Dependent {
  /** What becomes of the next starts, in order; those after them run. */
  readonly outcomes: Outcome[]
  started = 0
  stopped = 0
  /** Of those that came up when nobody wanted them any more: how many, and how many of them were stopped. */
  late = { up: 0, stopped: 0 }
  up = 0
  mostUp = 0
  signal: AbortSignal | undefined
  /** Ends the latest instance by itself. */
  end: (error?: Error) => void = () => undefined
  /** Lets the latest start that hangs answer after all. */
  answer: () => void = () => undefined

  constructor(outcomes: readonly Outcome[] = []) {
    this.outcomes = [...outcomes]
  }

  readonly start = async (signal: AbortSignal): Promise<Started> => {
    this.started++
    this.signal = signal
    const outcome = this.outcomes.shift() ?? 'runs'
    if (outcome instanceof Error) throw outcome
    if (outcome === 'hangs') {
      await new Promise<void>((resolve) => {
        this.answer = resolve
      })
    }
    return signal.aborted ? this.#runLate() : this.#run()
  }

  #runLate(): Started {
    this.late.up++
    return {
      stop: () => {
        this.late.stopped++
      },
    }
  }

  #run(): Started {
    this.up++
    this.mostUp = Math.max(this.mostUp, this.up)
    const ended = new Promise<void>((resolve, reject) => {
      this.end = (error) => {
        this.up--
        if (error) reject(error)
        else resolve()
      }
    })
    const stop = () => {
      this.up--
      this.stopped++
    }
    return { stop, ended }
  }
}

export interface ServiceRig extends Rig {
  readonly http: Dependent
  readonly served: RunningService
  /** The states that the service went through, without those that passed in the same turn. */
  readonly states: string[]
}

export interface ServiceRigOptions extends RigOptions {
  readonly outcomes?: readonly Outcome[]
  readonly service?: Partial<ServiceOptions>
}

/** A link on a scripted network, and one thing that depends on it. */
export const serviceRig = ({ outcomes, service: over, ...link }: ServiceRigOptions = {}): ServiceRig => {
  const made = rig(link)
  const http = new Dependent(outcomes)
  const served = service(made.link, { name: 'http', start: http.start, clock: made.clock, ...over })
  const states: string[] = []
  served.state$.subscribe(({ state }) => states.push(state))
  return { ...made, http, served, states }
}

/** Loses the transport of a live link and waits until it is live again. */
export const reconnect = async ({ clock, network, link }: Rig): Promise<void> => {
  network.current!.lose({ code: 'connection-lost' })
  for (let i = 0; i < 100 && link.status.state !== 'live'; i++) await clock.advance(clock.nextInMs ?? 0)
  if (link.status.state !== 'live') throw new Error(`the link is ${link.status.state}`)
}
