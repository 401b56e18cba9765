/** What a store promises, counted: bots in processes that are killed 200 times while they send. */
import { judge, killAgainAndAgain } from '../keeping/lives.ts'
import { programFrom } from './program.ts'
import type { Report } from './report.ts'

const KILLS = 200
const LANES = 4
const seed = Number(process.env.HF_SEED ?? 20_261_121)

export const bench = async (report: Report): Promise<void> => {
  console.log(`  seed ${seed} (HF_SEED draws other moments)`)
  const program = await programFrom('test/keeping/bot.ts')
  const begun = performance.now()
  const lanes = await Promise.all(
    Array.from({ length: LANES }, (_, lane) => killAgainAndAgain(program, KILLS / LANES, seed + lane)),
  )
  const sum = (count: (lane: (typeof lanes)[number]) => number) => lanes.reduce((all, lane) => all + count(lane), 0)
  const accepted = lanes.flatMap((lane) => lane.accepted)
  const seconds = ((performance.now() - begun) / 1_000).toFixed(0)
  report('control: messages accepted', `${accepted.length}`, `(${KILLS} kills in ${seconds} s)`, true)
  report('control: taken in again after a kill', `${sum(({ recovered }) => recovered)}`, '(counted)', true)
  report('control: killed before they were live', `${sum(({ early }) => early)}`, '(counted)', true)
  const doubles = sum(({ said }) => said.length - new Set(said.map(({ key }) => key)).size)
  report('control: second copies under an idempotency key', `${doubles}`, '(the peer drops them)', true)
  const uncertain = accepted.filter(({ fates }) => fates.includes('uncertain')).length
  report('told as uncertain', `${uncertain}`, '(no promise)', true)
  const verdicts = lanes.map(judge)
  const count = (name: keyof (typeof verdicts)[number]) =>
    verdicts.reduce((all, verdict) => all + verdict[name].length, 0)
  const zero = (what: string, found: number) => report(what, `${found}`, '0', found === 0)
  zero('accepted, not at the peer, and not told as uncertain', count('lost'))
  zero('with an idempotency key, accepted, and not at the peer', count('missing'))
  zero('without one, and twice at the peer', count('doubled'))
  zero('at the peer, and never sent', count('invented'))
  zero('out of the order of their conversation', count('disordered'))
  zero(
    'warnings',
    sum(({ warnings }) => warnings.length),
  )
}
