/** Runs that once broke a rule, as short as they could be made. They are never removed. */
import { expect, test } from 'vitest'
import type { Step } from './guide.ts'
import { replay } from './run.ts'
import type { WorldOptions } from './world.ts'

interface Regression extends WorldOptions {
  readonly heals?: boolean
  readonly thaws?: boolean
}

/** `fates` are those of the messages, in order; a world that heals adds two of its own. */
const keepsTheRules = async (options: Regression, steps: readonly Step[], fates: string[]): Promise<void> => {
  const report = await replay(options, steps)
  expect(report.violations).toEqual([])
  expect(report.fates).toEqual(fates)
}

/** A message that may wait for five minutes, one that may wait for two seconds, one for a tenth of a second. */
const PATIENT = 1_025
const HASTY = 257
const URGENT = 1

const healthy: Regression = { seed: 1, probes: false, healthy: true, heals: true, thaws: true }
const goesLive: readonly Step[] = [
  ['time.deadline', 0],
  ['time.deadline', 0],
  ['time.deadline', 0],
]

test('HF-O2 a message that expired while our own process was stalled is not written when the peer welcomes us', () =>
  keepsTheRules(
    { ...healthy, heals: false },
    [
      ['time.deadline', 0],
      ['user.sends', URGENT],
      ['time.stalls', 1],
    ],
    ['expired'],
  ))

test('HF-S6 a dialogue that goes on talking writes nothing to the transport that it has lost', () =>
  keepsTheRules({ ...healthy, heals: false }, [...goesLive, ['net.drops', 2], ['adapter.babbles', 0]], []))

test('HF-O4 the pong of an ended transport proves nothing that the next one carried', () =>
  keepsTheRules(
    healthy,
    [
      ...goesLive,
      ['net.drops', 2],
      ['time.tells', 0],
      ['time.tells', 0],
      ['time.tells', 0],
      ['time.tells', 0],
      ['peer.sickens', 0],
      ['user.sends', PATIENT],
      ['net.haunts', 4],
    ],
    ['delivered', 'delivered', 'delivered'],
  ))

test('HF-O5 a peer that answers only its latest ping has proven what was written before it', () =>
  keepsTheRules(
    healthy,
    [...goesLive, ['peer.sickens', 0], ['user.sends', PATIENT], ['peer.heals', 0]],
    ['delivered', 'delivered', 'delivered'],
  ))

test('HF-O5 a ping that is never answered does not hold up the proof of later messages', () =>
  keepsTheRules(
    { ...healthy, probes: true },
    [
      ...goesLive,
      ['peer.sickens', 0],
      ['user.sends', HASTY],
      ['peer.heals', 0],
      ['time.drags', 0],
      ['user.sends', PATIENT],
      ['time.passes', 1_000],
    ],
    ['uncertain', 'delivered', 'delivered', 'delivered'],
  ))

test('HF-O5 what was written before an impairment is proven after it, even if nothing more is written', () =>
  keepsTheRules(
    { ...healthy, probes: true },
    [
      ...goesLive,
      ['time.passes', 100],
      ['peer.sickens', 0],
      ['user.sends', PATIENT],
      ['user.sends', PATIENT],
      ['peer.offline', 0],
      ['peer.pongs', 0],
      ['peer.heals', 0],
      ['peer.online', 0],
    ],
    ['delivered', 'delivered', 'delivered', 'delivered'],
  ))
