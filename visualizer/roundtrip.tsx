/** The round trip of the chosen link over the last minutes, with the time after which it would be given up. */
import { type Area, Canvas } from './canvas.tsx'
import { chosen, chosenIndex, fleet, isDark, replaying, version } from './store.ts'
import { fill, lasting, word } from './words.ts'

const quantile = (values: readonly number[], share: number): number =>
  [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * share))] ?? 0

/** Its own, or what the chart has by default. */
const graceOf = (index: number): number | undefined =>
  fleet.value?.deadlines(index)?.graceMs ?? fleet.value?.hello.deadlines['degraded.suspect']

/** Each gridline is ten times the one below: a deadline far away is seen, and so is a trip that doubled. */
const draw = ({ ctx, width, height, ink }: Area) => {
  const { at, ms } = fleet.value?.trips(chosenIndex.value) ?? { at: [], ms: [] }
  if (at.length === 0) return
  const grace = graceOf(chosenIndex.value)
  const scale = (value: number) => Math.log10(Math.max(1, value))
  const top = scale(Math.max(grace ?? 0, ...ms) * 1.6)
  const y = (value: number) => height - 3 - (scale(value) / top) * (height - 6)
  const begin = at[0]!
  const span = Math.max(1, at.at(-1)! - begin)
  const x = (when: number) => ((when - begin) / span) * (width - 8) + 4
  ctx.fillStyle = ink('frame')
  for (let line = 1; scale(line) < top; line *= 10) ctx.fillRect(0, y(line), width, 1)
  if (grace !== undefined) {
    ctx.fillStyle = ink('alarm')
    for (let dash = 0; dash < width; dash += 8) ctx.fillRect(dash, y(grace), 5, 1.5)
  }
  ctx.beginPath()
  for (const [i, when] of at.entries()) ctx.lineTo(x(when), y(ms[i]!))
  ctx.strokeStyle = ink('accent')
  ctx.lineWidth = 1.5
  ctx.stroke()
  ctx.fillStyle = ink('accent')
  ctx.fillRect(x(at.at(-1)!) - 2, y(ms.at(-1)!) - 2, 4, 4)
}

export const RoundTrip = () => {
  version.value
  const link = chosen.value
  if (replaying.value || !link) return null
  const { at, ms } = fleet.value?.trips(link.index) ?? { at: [], ms: [] }
  const grace = graceOf(link.index)
  const told = (share: number) => `${Math.round(quantile(ms, share))} ms`
  const caption =
    ms.length === 0
      ? word('noTrips')
      : [
          `${Math.round(ms.at(-1)!)} ms`,
          `p50 ${told(0.5)}`,
          `p95 ${told(0.95)}`,
          ...(grace === undefined ? [] : [fill('tripBound', `${grace} ms`)]),
          fill('tripSpan', lasting(at.at(-1)! - at[0]!)).replaceAll(' ', '\u00a0'),
        ].join(' · ')
  return (
    <section aria-labelledby="trip-title" class="trip">
      <h2 id="trip-title">{word('roundTrip')}</h2>
      <p class="quiet" id="trip">
        {caption}
      </p>
      {ms.length > 0 && <Canvas class="spark" draw={draw} on={[version, chosenIndex, isDark]} />}
    </section>
  )
}
