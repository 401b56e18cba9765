/** The round trip of the chosen link over the last minutes, with the time after which it would be given up. */
import { type Area, Canvas } from './canvas.tsx'
import { chosen, chosenIndex, fleet, isDark, replaying, version } from './store.ts'
import { word } from './words.ts'

const quantile = (values: readonly number[], share: number): number =>
  [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * share))] ?? 0

const draw = ({ ctx, width, height, ink }: Area) => {
  const { at, ms } = fleet.value?.trips(chosenIndex.value) ?? { at: [], ms: [] }
  if (at.length === 0) return
  const grace = fleet.value?.hello.deadlines['degraded.suspect']
  const most = Math.max(...ms)
  // A bound a hundred times away would press the line flat; it is named in the caption all the same.
  const bound = grace !== undefined && grace <= most * 8 ? grace : undefined
  const top = Math.max(most * 1.25, (bound ?? 0) * 1.1, 1)
  const begin = at[0]!
  const span = Math.max(1, at.at(-1)! - begin)
  const y = (value: number) => height - 4 - (value / top) * (height - 8)
  if (bound !== undefined) {
    ctx.fillStyle = ink('alarm')
    for (let x = 0; x < width; x += 8) ctx.fillRect(x, y(bound), 5, 1.5)
  }
  ctx.beginPath()
  for (const [i, when] of at.entries()) ctx.lineTo(((when - begin) / span) * (width - 6) + 3, y(ms[i]!))
  ctx.strokeStyle = ink('accent')
  ctx.lineWidth = 1.5
  ctx.stroke()
}

export const RoundTrip = () => {
  version.value
  const link = chosen.value
  if (replaying.value || !link) return null
  const { ms } = fleet.value?.trips(link.index) ?? { ms: [] }
  const grace = fleet.value?.hello.deadlines['degraded.suspect']
  const caption =
    ms.length === 0
      ? word('noTrips')
      : `${Math.round(ms.at(-1)!)} ms · p50 ${Math.round(quantile(ms, 0.5))} ms · p95 ${Math.round(quantile(ms, 0.95))} ms${grace === undefined ? '' : ` · ≤ ${grace} ms`}`
  return (
    <section aria-labelledby="trip-title" class="trip">
      <h2 id="trip-title">{word('roundTrip')}</h2>
      <p class="quiet" id="trip">
        {caption}
      </p>
      <Canvas class="spark" draw={draw} on={[version, chosenIndex, isDark]} />
    </section>
  )
}
