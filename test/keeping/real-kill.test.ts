/** Bots that are killed at any moment and begin again: what was accepted arrives, or it is told that nobody knows. */
import { expect, test } from 'vitest'
import { runnable } from '../lab/bundle.ts'
import { judge, killAgainAndAgain } from './lives.ts'

const KILLS = 40
const LANES = 4
const seed = Number(process.env.HF_SEED ?? 20_261_121)

test(`${KILLS} kills: each accepted message is at the peer or told as uncertain, and none is doubled or invented`, async () => {
  console.log(`seed ${seed} (HF_SEED draws other moments)`)
  const program = await runnable('test/keeping/bot.ts')
  const lanes = await Promise.all(
    Array.from({ length: LANES }, (_, lane) => killAgainAndAgain(program, KILLS / LANES, seed + lane)),
  )
  for (const [lane, result] of lanes.entries()) {
    const { accepted, warnings, early, recovered, said } = result
    const uncertain = accepted.filter(({ fates }) => fates.includes('uncertain')).length
    console.log(
      `lane ${lane}: ${accepted.length} accepted, ${said.length} arrivals, ${uncertain} uncertain, ${recovered} recovered, ${early} killed early`,
    )
    expect(judge(result), `seed ${seed}, lane ${lane}`).toEqual({
      lost: [],
      doubled: [],
      missing: [],
      invented: [],
      disordered: [],
    })
    expect(warnings).toEqual([])
    expect(accepted.length).toBeGreaterThan(KILLS)
    expect(recovered).toBeGreaterThan(0)
  }
}, 120_000)
