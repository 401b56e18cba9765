/** The fleet: one cell per link, as many as there are. */
import { signal } from '@preact/signals'
import { useEffect, useRef } from 'preact/hooks'
import { type Area, Canvas, shortened } from './canvas.tsx'
import { type Look, lookOf } from './palette.ts'
import { reasonText } from './reason.ts'
import type { Link } from './source.ts'
import { choose, chosen, chosenIndex, isChosen, isDark, move, second, shown, source, version } from './store.ts'
import { type Pointed, pointIn, Tip } from './tip.tsx'
import { language, lasting, stateWord, word } from './words.ts'

const TABLE_MAX = 200
const GAP = 2
/** Room for a name; cells are widened until they fill the row. */
const NAMED = 150
const HEIGHT_MAX = 300

/** Few links get large cells with their names; many get small ones, still large enough for their sign. */
const cellOf = (count: number, room: number): { width: number; height: number; named: boolean } => {
  if (count <= 60) return { width: Math.floor(room / Math.max(1, Math.floor(room / NAMED))), height: 30, named: true }
  if (count <= 600) return { width: 24, height: 24, named: false }
  return { width: 14, height: 14, named: false }
}

const scrolled = signal(0)
/** How wide the drawing is. */
const room = signal(500)
const pointed = signal<(Pointed & { readonly link: Link }) | null>(null)

const columnsOf = (width: number): number => Math.max(1, Math.floor(room.value / width))

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
  room.value = width
  const cell = cellOf(links.length, width)
  const across = columnsOf(cell.width)
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
      ctx.fillText(shortened(ctx, link.id, cell.width - cell.height - 8), x + cell.height, y + cell.height / 2 - 0.5)
    } else ctx.drawImage(stampOf(link.state, cell.width - GAP), x, y, cell.width - GAP, cell.height - GAP)
    if (link.index !== chosenIndex.value) continue
    ctx.lineWidth = 3
    ctx.strokeStyle = ink('ink')
    ctx.strokeRect(x + 0.5, y + 0.5, cell.width - GAP - 1, cell.height - GAP - 1)
  }
}

export const Grid = () => {
  const scroller = useRef<HTMLDivElement>(null)
  const count = shown.value.length
  const cell = cellOf(count, room.value)
  const columns = columnsOf(cell.width)
  const rows = Math.ceil(count / columns)
  const high = `${Math.min(HEIGHT_MAX, Math.max(1, rows) * cell.height + 2)}px`

  // what a person chose stays in sight, also when its state sends it elsewhere; what the page chose moves nothing
  useEffect(() => {
    if (!isChosen.value) return
    const place = shown.peek().findIndex(({ index }) => index === chosenIndex.value)
    const box = scroller.current!
    if (place < 0) return
    const y = Math.floor(place / columns) * cell.height
    if (y < box.scrollTop) box.scrollTop = y
    else if (y + cell.height > box.scrollTop + box.clientHeight) box.scrollTop = y + cell.height - box.clientHeight
  }, [chosenIndex.value, chosen.value?.state, cell.height])

  const press = (event: KeyboardEvent) => {
    const far = columns
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

  const under = (event: MouseEvent): Link | undefined => {
    const { x, y } = pointIn(scroller.current!, event)
    const column = Math.floor(x / cell.width)
    const row = Math.floor((y + scroller.current!.scrollTop) / cell.height)
    return column < columns ? shown.value[row * columns + column] : undefined
  }
  const click = (event: MouseEvent) => {
    const link = under(event)
    if (link) choose(link.index)
  }
  const point = (event: MouseEvent) => {
    const link = under(event)
    pointed.value = link ? { ...pointIn(scroller.current!, event), link } : null
  }

  return (
    <div class="grid">
      <div
        id="grid"
        class="scroller"
        ref={scroller}
        style={{ height: high, '--high': high }}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what is drawn in it is moved through by keys
        tabIndex={0}
        role="application"
        aria-label={`${word('fleet')}: ${count}`}
        aria-describedby="grid-keys"
        onScroll={() => (scrolled.value = scroller.current!.scrollTop)}
        onKeyDown={press}
        onClick={click}
        onPointerMove={point}
        onPointerLeave={() => (pointed.value = null)}
      >
        <Canvas class="fill" draw={draw} on={[version, shown, chosenIndex, scrolled, isDark]} />
        <div class="spacer" style={{ height: `${rows * cell.height}px` }} />
      </div>
      <Pointer />
      {count === 0 && source.value && <p class="quiet">{word(source.value.links.length > 0 ? 'none' : 'noLinks')}</p>}
      <p id="grid-keys" class="hidden">
        {word('keyArrows')}
      </p>
      <GridTable />
    </div>
  )
}

/** Names the cell under the pointer: where there are thousands they have no room for a name. */
const Pointer = () => {
  second.value
  const at = pointed.value
  if (!at) return null
  const { id, adapter, state, since, fault } = at.link
  const lasted = `${stateWord(state)} · ${word('for')} ${lasting((source.peek()?.now() ?? 0) - since)}`
  return <Tip at={at} title={id} lines={[adapter, lasted, reasonText(fault ?? '', language.value)]} />
}

/** The same for those who do not see the cells. It follows once a second. */
const GridTable = () => {
  second.value
  language.value
  const now = source.peek()?.now() ?? 0
  return (
    <div class="hidden">
      <table id="grid-table">
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
    </div>
  )
}
