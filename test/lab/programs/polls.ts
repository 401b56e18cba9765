/**
 * Polls, one after another in each of several lanes, with a client for each lane and pauses as long as a server keeps an
 * idle connection: ours, or undici as it is. One line of `Outcome` for each poll.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { Agent, request } from 'undici'
import { realClock } from '../../../src/clock.ts'
import { http } from '../../../src/net/request.ts'
import { argument, measure, type Outcome, obey, print } from './program.ts'

export interface PollsArgument {
  readonly via: 'ours' | 'undici'
  readonly url: string
  /** For each lane how long it pauses between two polls, in milliseconds. */
  readonly pausesMs: readonly number[]
  /** Of each lane. */
  readonly polls: number
}

const { via, url, pausesMs, polls } = argument<PollsArgument>()
const WITHIN_MS = 10_000

type Poll = (method: 'GET' | 'POST') => Promise<Partial<Outcome>>

const ours = (): Poll => {
  const client = http({ clock: realClock, proxy: false }, (delivered, message) => new Error(`${delivered}: ${message}`))
  const { signal } = new AbortController()
  return async (method) => {
    const outgoing = { http: { url, method, headers: {} }, read: (status: number) => status }
    return { status: (await client.request(outgoing, signal, (text) => text)) as number }
  }
}

const undici = (): Poll => {
  const dispatcher = new Agent()
  return async (method) => {
    const { statusCode, body } = await request(url, { method, dispatcher })
    await body.dump()
    return { status: statusCode }
  }
}

const run = async (pauseMs: number): Promise<void> => {
  const poll = { ours, undici }[via]()
  for (let number = 0; number < polls; number++) {
    print(await measure(WITHIN_MS, () => poll(number % 2 ? 'POST' : 'GET')))
    await sleep(pauseMs)
  }
}

obey(() => undefined)
await Promise.all(pausesMs.map(run))
process.exit()
