/** The outbox under random orders: whatever happens, the sums are right and no settled message is written again. */
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { Model, type Tally } from './model.ts'
import { type Plan, plans } from './orders.ts'

const RUNS = 2_000
const SEED = 20_261_123
const runs = Number(process.env.HF_RUNS ?? RUNS)
const seed = Number(process.env.HF_SEED ?? SEED)
const path = process.env.HF_PATH

const tally: Tally = {}

const run = async (plan: Plan): Promise<void> => {
  const model = new Model(plan, tally)
  for (const order of plan.orders) await model.obey(order)
  await model.finish()
}

it('HF-O22 under any orders the sums are right, fates are told once, order holds, and what is settled is not written', async () => {
  const parameters = path === undefined ? { seed, numRuns: runs } : { seed, path, numRuns: 1 }
  await fc.assert(fc.asyncProperty(plans, run), parameters)
  console.log(`seed ${seed}: ${JSON.stringify(tally)}`)
  if (path !== undefined || runs < RUNS) return
  // the orders reached everything, many times
  for (const what of [
    'delivered',
    'expired',
    'refused',
    'uncertain',
    'rewritten',
    'revived',
    'replaced',
    'dropped',
    'marked',
    'handed',
    'declined',
  ] as const) {
    expect(tally[what], what).toBeGreaterThan(100)
  }
}, 1_000_000)
