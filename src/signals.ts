/**
 * Stops links when the process is asked to end, for whoever wants that: nothing listens before `stopOnSignals()` is
 * called. The process then dies of the very signal, as it would have without us, so its supervisor sees the usual status.
 */
import { constants } from 'node:os'
import { describe, refuseUnknown } from './adapter/adapter.ts'
import { realClock } from './clock.ts'
import { HoldfastError, textOf } from './error.ts'
import type { Link } from './link.ts'
import { checkNumber } from './options.ts'
import { scrubber } from './secret.ts'

type Stoppable = Pick<Link, 'id' | 'stop'>

export interface SignalOptions<L extends Stoppable = Link> {
  /** Default: SIGTERM and SIGINT. */
  readonly signals?: readonly NodeJS.Signals[]
  /** How long each link may take to deliver what waits, in milliseconds. Default: the `closeMs` of the link. */
  readonly drainMs?: number
  /** Called instead of `stop()`. If it fails, or takes longer than 10 s, the link is stopped after all. */
  readonly handOver?: (link: L) => Promise<void>
}

const HAND_OVER_MS = 10_000
const DRAIN_MAX_MS = 86_400_000
/** What a shell adds to the number of the signal that a process died of. */
const DIED_OF_SIGNAL = 128

/** Several calls share the end of the process: the last that has stopped its links ends it. */
const ours = new WeakSet<object>()

/**
 * On the first of the signals stops the links, all at once, and then ends the process by that signal. On a second one
 * the process ends at once. `links` is looked at when the signal comes; it may be a function.
 *
 * If somebody else listens to the signal too, the end is left to them, except on the second: they may have more to do
 * than we know. Returns a function that takes the listeners off again; what is being stopped then goes on, and the
 * process is left alone.
 */
export const stopOnSignals = <L extends Stoppable>(
  links: Iterable<L> | (() => Iterable<L>),
  options: SignalOptions<L> = {},
): (() => void) => {
  checkLinks(links)
  const signals = checkOptions(options)
  let isStopping = false
  let isOff = false

  const off = () => {
    isOff = true
    for (const signal of signals) process.removeListener(signal, listener)
  }
  const stopAll = async (signal: NodeJS.Signals, leaveToOthers: boolean) => {
    await Promise.allSettled(listed(links).map((link) => stop(link, options)))
    // one turn of the loop: what was said last is still heard
    await new Promise((resolve) => setImmediate(resolve))
    if (isOff) return
    off()
    if (!leaveToOthers && process.listenerCount(signal) === 0) end(signal)
  }
  const listener = (signal: NodeJS.Signals) => {
    if (isStopping) {
      off()
      return end(signal)
    }
    isStopping = true
    const leaveToOthers = process.listeners(signal).some((each) => !ours.has(each))
    void stopAll(signal, leaveToOthers)
  }
  ours.add(listener)
  // before all others, so that we see them: a listener of `once` is gone when it has been called
  for (const signal of signals) process.prependListener(signal, listener)
  return off
}

/** Whatever goes wrong here, the process was asked to end. */
const listed = <L>(links: Iterable<L> | (() => Iterable<L>)): readonly L[] => {
  try {
    return [...(typeof links === 'function' ? links() : links)]
  } catch (error) {
    warn(`No link was stopped, because they could not be listed: ${textOf(error)}`)
    return []
  }
}

const stop = async <L extends Stoppable>(link: L, { handOver, drainMs }: SignalOptions<L>): Promise<void> => {
  if (handOver) {
    try {
      return await inTime(handOver(link))
    } catch (error) {
      warn(`The link "${link.id}" was stopped, because it could not be handed over: ${textOf(error)}`)
    }
  }
  await link.stop(drainMs === undefined ? {} : { drainMs })
}

const inTime = async (handedOver: Promise<void>): Promise<void> => {
  let timer: object | undefined
  const late = new Promise<never>((_resolve, reject) => {
    timer = realClock.setTimeout(() => reject(new Error(`not done after ${HAND_OVER_MS} ms`)), HAND_OVER_MS)
  })
  try {
    await Promise.race([handedOver, late])
  } finally {
    realClock.clearTimeout(timer)
  }
}

/** By the signal itself, if nobody is in its way: the first process of a container is immune to its own signals. */
const end = (signal: NodeJS.Signals): void => {
  const status = DIED_OF_SIGNAL + constants.signals[signal]
  if (process.pid === 1 || process.listenerCount(signal) > 0) process.exit(status)
  process.exitCode = status
  process.kill(process.pid, signal)
}

const warn = (text: string): void => process.emitWarning(scrubber([])(text), 'HoldfastWarning')

const checkLinks = (links: unknown): void => {
  const isIterable = typeof links === 'object' && links !== null && Symbol.iterator in links
  if (typeof links === 'function' || isIterable) return
  const must = 'it must be something that can be iterated, or a function that gives it'
  throw new HoldfastError('bad-option', `stopOnSignals(links): links is ${describe(links)}; ${must}.`)
}

/** No program can listen to these, or not to end. */
const DEAF = ['SIGKILL', 'SIGSTOP']

const checkOptions = ({ ...given }: SignalOptions<never>): readonly NodeJS.Signals[] => {
  refuseUnknown(given, ['signals', 'drainMs', 'handOver'], 'options of stopOnSignals()')
  const { signals = ['SIGTERM', 'SIGINT'], drainMs, handOver } = given
  if (drainMs !== undefined && drainMs !== 0) checkNumber('drainMs', drainMs, DRAIN_MAX_MS)
  if (handOver !== undefined && typeof handOver !== 'function') {
    throw new HoldfastError('bad-option', `handOver is ${describe(handOver)}; it must be a function.`)
  }
  const isSignal = (each: unknown) => Object.hasOwn(constants.signals, String(each)) && !DEAF.includes(String(each))
  if (Array.isArray(signals) && signals.every(isSignal)) return signals
  throw new HoldfastError('bad-option', 'signals must be an array of names such as "SIGTERM"; SIGKILL cannot be heard.')
}
