/** The fleet: one cell per link, as many as there are. */
import { signal } from '@preact/signals'
import { useEffect, useRef } from 'preact/hooks'
import { type Area, Canvas } from './canvas.tsx'
import { type Look, lookOf } from './palette.ts'
import { choose, chosenIndex, isDark, move, second, shown, source, version } from './store.ts'
import { language, lasting, stateWord, word } from './words.ts'

const TABLE_MAX = 200
const GAP = 2

/** Few links get large cells with their names; many get small ones, still large enough for their sign. */
const cellOf = (count: number): { width: number; height: number; named: boolean } => {
  if (count <= 60) return { width: 132, height: 30, named: true }
  if (count <= 600) return { width: 24, height: 24, named: false }
  return { width: 14, height: 14, named: false }
}

const scrolled = signal(0)
const columns = signal(1)

/** A cell is drawn once for each state and then copied. */
const stamps = new Map<string, HTMLCanvasElement>()

const stampOf = (state: string, size: number): HTMLCanvasElement => {
  const scale = devicePixelRatio
  const key = `${size} ${scale} ${state}`
  const known = stamps.get(key)
  if (known) return known
  const stamp = document.createElement('canvas')
  stamp.width = stamp.height = Math.round(size * scale)
  const ctx = stamp.getContext('2d')!
  ctx.scale(scale, scale)
  drawCell(ctx, lookOf(state), 0, 0, size, size)
  if (stamps.size < 200) stamps.set(key, stamp)
  return stamp
}

const drawCell = (ctx: CanvasRenderingContext2D, look: Look, x: number, y: number, width: number, height: number) => {
  ctx.fillStyle = look.color
  ctx.fillRect(x, y, width, height)
  ctx.fillStyle = look.ink
  ctx.font = `${Math.round(height * 0.72)}px system-ui, "DejaVu Sans", sans-serif`
  ctx.textAlign = 'center'
  ctx.textBaseline = 'middle'
  ctx.fillText(look.glyph, x + Math.min(width, height) / 2, y + height / 2 + 0.5)
}

const draw = ({ ctx, width, height, ink }: Area) => {
  const links = shown.value
  const cell = cellOf(links.length)
  const across = Math.max(1, Math.floor(width / cell.width))
  columns.value = across
  const top = scrolled.value
  const firstRow = Math.floor(top / cell.height)
  const last = Math.min(links.length, (firstRow + Math.ceil(height / cell.height) + 1) * across)
  for (let i = firstRow * across; i < last; i++) {
    const link = links[i]!
    const x = (i % across) * cell.width
    const y = Math.floor(i / across) * cell.height - top
    const look = lookOf(link.state)
    if (cell.named) {
      drawCell(ctx, look, x, y, cell.width - GAP, cell.height - GAP)
      ctx.textAlign = 'left'
      ctx.font = '12px system-ui, sans-serif'
      ctx.fillText(shorten(link.id), x + cell.height, y + cell.height / 2 - 0.5, cell.width - cell.height - 6)
    } else ctx.drawImage(stampOf(link.state, cell.width - GAP), x, y, cell.width - GAP, cell.height - GAP)
    if (link.index !== chosenIndex.value) continue
    ctx.lineWidth = 3
    ctx.strokeStyle = ink('ink')
    ctx.strokeRect(x + 0.5, y + 0.5, cell.width - GAP - 1, cell.height - GAP - 1)
  }
}

const shorten = (id: string): string => (id.length > 24 ? `${id.slice(0, 23)}…` : id)

export const Grid = () => {
  const scroller = useRef<HTMLDivElement>(null)
  const count = shown.value.length
  const cell = cellOf(count)
  const rows = Math.ceil(count / columns.value)

  useEffect(() => {
    const place = shown.peek().findIndex(({ index }) => index === chosenIndex.value)
    const box = scroller.current!
    if (place < 0) return
    const y = Math.floor(place / columns.peek()) * cell.height
    if (y < box.scrollTop) box.scrollTop = y
    else if (y + cell.height > box.scrollTop + box.clientHeight) box.scrollTop = y + cell.height - box.clientHeight
  }, [chosenIndex.value, cell.height])

  const press = (event: KeyboardEvent) => {
    const far = columns.value
    const page = far * Math.max(1, Math.floor(scroller.current!.clientHeight / cell.height))
    const moves: Record<string, number> = {
      ArrowLeft: -1,
      ArrowRight: 1,
      ArrowUp: -far,
      ArrowDown: far,
      PageUp: -page,
      PageDown: page,
      Home: -count,
      End: count,
    }
    const by = Object.hasOwn(moves, event.key) ? moves[event.key] : undefined
    if (by === undefined) return
    event.preventDefault()
    move(by)
  }

  const click = (event: MouseEvent) => {
    const box = scroller.current!.getBoundingClientRect()
    const column = Math.floor((event.clientX - box.left) / cell.width)
    const row = Math.floor((event.clientY - box.top + scroller.current!.scrollTop) / cell.height)
    const link = column < columns.value ? shown.value[row * columns.value + column] : undefined
    if (link) choose(link.index)
  }

  return (
    <div class="grid">
      <div
        id="grid"
        class="scroller"
        ref={scroller}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what is drawn in it is moved through by keys
        tabIndex={0}
        role="application"
        aria-label={`${word('fleet')}: ${count}`}
        aria-describedby="grid-keys"
        onScroll={() => (scrolled.value = scroller.current!.scrollTop)}
        onKeyDown={press}
        onClick={click}
      >
        <Canvas class="fill" draw={draw} on={[version, shown, chosenIndex, scrolled, isDark]} />
        <div class="spacer" style={{ height: `${rows * cell.height}px` }} />
      </div>
      {count === 0 && <p class="quiet">{word('none')}</p>}
      <p id="grid-keys" class="hidden">
        {word('fleetKeys')}
      </p>
      <GridTable />
    </div>
  )
}

/** The same for those who do not see the cells. It follows once a second. */
const GridTable = () => {
  second.value
  language.value
  const now = source.peek()?.now() ?? 0
  return (
    <table class="hidden" id="grid-table">
      <caption>{word('table')}</caption>
      <thead>
        <tr>
          <th scope="col">{word('id')}</th>
          <th scope="col">{word('state')}</th>
          <th scope="col">{word('for')}</th>
          <th scope="col">{word('because')}</th>
        </tr>
      </thead>
      <tbody>
        {shown.value.slice(0, TABLE_MAX).map((link) => (
          <tr key={link.index} aria-current={link.index === chosenIndex.value}>
            <th scope="row">{link.id}</th>
            <td>{stateWord(link.state)}</td>
            <td>{lasting(now - link.since)}</td>
            <td>{link.fault ?? ''}</td>
          </tr>
        ))}
      </tbody>
    </table>
  )
}
