/**
 * A chart as one standalone SVG that follows the reader's light or dark setting. Each state is `n-<state>` and each
 * merged arrow `e-<from>-<to>`, so that a page can light them up.
 */
import { edgeId, type Label, type Layout, type Line, leafOf, nodeId, type Point } from './layout.ts'
import {
  type Arrow,
  arrowText,
  type Chart,
  causesOf,
  duration,
  type Edge,
  edgesOf,
  holdOf,
  type State,
  triggerText,
} from './model.ts'
import { becauseOf } from './table.ts'

/** Throws if chart and layout do not match: a picture that leaves something out would lie. */
export const svgOf = (chart: Chart, layout: Layout): string => {
  const edges = edgesOf(chart)
  const everywhere = edges.filter(({ from }) => from === '')
  const drawn = edges.filter(({ from }) => from !== '')
  const nested = chart.states.filter((state) => isNested(chart, state))
  const leaves = chart.states.filter((state) => !isNested(chart, state))
  mustMatch(
    'line',
    drawn.map(({ from, to }) => `${from}>${to}`),
    layout.lines,
  )
  mustMatch(
    'frame',
    nested.map(({ path }) => path),
    layout.frames,
  )
  mustMatch(
    'state',
    leaves.map(({ path }) => path),
    layout.states,
  )
  mustHaveRoom(everywhere, layout)

  const { width, height } = layout
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-labelledby="title desc">`,
    `<title id="title">The life of one ${xml(chart.id)}</title>`,
    `<desc id="desc">States and transitions of the chart. The state table holds the same in words.</desc>`,
    `<style>${css}</style>`,
    marker,
    `<rect class="paper" width="${width}" height="${height}" rx="10"/>`,
    ...nested.map((state) => frameOf(state, layout.frames[state.path]!)),
    ...layout.initials.map(({ from, to }) => initialOf(from, to)),
    ...drawn.map((edge) => edgeOf(edge, layout)),
    ...leaves.map((state) => nodeOf(chart, state, layout)),
    ...(layout.everywhere ? [everywhereOf(chart, everywhere, layout.everywhere)] : []),
    ...(layout.legend ? [legendOf(layout.legend)] : []),
    '</svg>',
    '',
  ].join('\n')
}

/** Others lie within it, one at a time or all at once. */
export const isNested = (chart: Chart, { path }: State): boolean => chart.states.some(({ parent }) => parent === path)

const mustHaveRoom = (everywhere: readonly Edge[], layout: Layout): void => {
  if (everywhere.length > 0 === (layout.everywhere !== undefined)) return
  throw new Error('The layout has room for orders that hold everywhere and there are none, or the other way round')
}

const mustMatch = (what: string, wanted: string[], placed: Readonly<Record<string, unknown>>): void => {
  const missing = wanted.filter((name) => !Object.hasOwn(placed, name))
  const stray = Object.keys(placed).filter((name) => !wanted.includes(name))
  if (missing.length > 0) throw new Error(`The layout has no place for the ${what} ${missing.join(', ')}`)
  if (stray.length > 0) throw new Error(`The layout places a ${what} that the chart does not have: ${stray.join(', ')}`)
}

const frameOf = (state: State, { x, y, width, height, title }: Layout['frames'][string]): string => {
  const name = title ?? { x: x + 14, y: y + 20 }
  const runs = state.invokes.length > 0 ? `<tspan class="small">  runs ${xml(state.invokes.join(', '))}</tspan>` : ''
  return `<g id="${xml(nodeId(state.path))}" class="frame"><rect x="${x}" y="${y}" width="${width}" height="${height}" rx="12"/><text x="${name.x}" y="${name.y}" class="name">${xml(state.name)}${runs}</text></g>`
}

const nodeOf = (chart: Chart, state: State, layout: Layout): string => {
  const { x, y, width, height, tone } = layout.states[state.path]!
  const cx = x + width / 2
  const middle = y + height / 2
  // A final state has the double border that statecharts give it.
  const inner = state.final
    ? `<rect x="${x + 4}" y="${y + 4}" width="${width - 8}" height="${height - 8}" rx="7" class="inner"/>`
    : ''
  return `<g id="${xml(nodeId(state.path))}" class="node ${tone}"><rect x="${x}" y="${y}" width="${width}" height="${height}" rx="10"/>${inner}<text x="${cx}" y="${middle - 3}" class="name">${xml(state.name)}</text><text x="${cx}" y="${middle + 14}" class="small">${xml(holdText(chart, state))}</text></g>`
}

/** What ends the state if nothing else does: the promise of the chart, told in every box. */
const holdText = (chart: Chart, state: State): string => {
  const own = [...state.tags, ...state.invokes]
  const hold = holdOf(chart, state)
  switch (hold.kind) {
    case 'deadline':
      return [...own, hold.after.ms === null ? `for ${hold.after.name}` : `≤ ${duration(hold.after.ms)}`].join(' · ')
    case 'watched':
      return [...own, 'watched'].join(' · ')
    case 'waits':
      return hold.events.every((event) => event.startsWith('operator.')) ? 'waits for a person' : 'waits'
    default:
      return hold.kind
  }
}

const edgeOf = (edge: Edge, layout: Layout): string => {
  const line = layout.lines[`${edge.from}>${edge.to}`]!
  const tone = Object.hasOwn(layout.states, edge.to) && edge.to !== edge.from ? layout.states[edge.to]!.tone : 'way'
  const kind = line.main ? 'main' : tone
  return `<g id="${xml(edgeId(edge.from, edge.to))}" class="edge ${kind}"><title>${xml(titleOf(edge))}</title><path d="${pathOf(line)}"/>${labelOf(labelLines(edge), line.label)}</g>`
}

const titleOf = ({ from, to, arrows }: Edge): string =>
  `${leafOf(from)} → ${leafOf(to)}\n${arrows.map((arrow) => `${arrowText(arrow)}: ${becauseOf(arrow)}`).join('\n')}`

/**
 * The picture says less than the table: the state's own deadline is one word, as its box has the number. That an activity
 * ended is said only where nothing but a deadline is left to say, and of one that should not have ended only where there
 * is nothing else at all.
 */
export const labelLines = ({ from, to, arrows }: Edge): string[] => {
  const told = arrows.filter(({ trigger }) => trigger.kind !== 'ended' && trigger.kind !== 'failed')
  if (told.length === 0) return causesOf(arrows)
  const isDue = ({ trigger, actions }: Arrow) =>
    trigger.kind === 'ended' && !actions.some(({ type }) => type === 'blame')
  const due = told.every(({ trigger }) => trigger.kind === 'after') ? arrows.filter(isDue) : []
  return [...causesOf(due), ...told.flatMap((arrow) => labelWords(arrow, from === to))]
}

const labelWords = ({ trigger, guard, actions }: Arrow, stays: boolean): string[] => {
  if (trigger.kind !== 'after') return guard === null ? [triggerText(trigger)] : [triggerText(trigger), `[${guard}]`]
  if (!stays) return ['deadline']
  const wait = trigger.ms === null ? trigger.name : duration(trigger.ms)
  return [`after ${wait}: ${actions.map(({ type }) => type).join(', ')}`]
}

const labelOf = (words: readonly string[], { x, y, anchor = 'middle', oneLine }: Label): string => {
  const lines = oneLine ? [words.join(' ')] : words
  const spans = lines.map((line, index) => `<tspan x="${x}" dy="${index === 0 ? 0 : 15}">${xml(line)}</tspan>`)
  return `<text x="${x}" y="${y}" class="label ${anchor}">${spans.join('')}</text>`
}

/** Straight runs with rounded corners. */
const pathOf = ({ points }: Line): string => {
  const [first, ...rest] = points as [Point, ...Point[]]
  const parts = [`M${first.x} ${first.y}`]
  for (const [index, corner] of rest.entries()) {
    const before = points[index]!
    const next = rest[index + 1]
    if (!next) {
      parts.push(`L${corner.x} ${corner.y}`)
      continue
    }
    const enter = toward(corner, before, 8)
    const leave = toward(corner, next, 8)
    parts.push(`L${enter.x} ${enter.y}Q${corner.x} ${corner.y} ${leave.x} ${leave.y}`)
  }
  return parts.join('')
}

/** The point that lies so far from a corner on the way to another point; all runs are level or upright. */
const toward = (corner: Point, other: Point, distance: number): Point => ({
  x: corner.x + Math.sign(other.x - corner.x) * distance,
  y: corner.y + Math.sign(other.y - corner.y) * distance,
})

const initialOf = (from: Point, to: Point): string =>
  `<g class="initial"><circle cx="${from.x}" cy="${from.y}" r="4"/><path d="M${from.x + 4} ${from.y}L${to.x} ${to.y}"/></g>`

/** Orders that hold in every state would cross every other line: they are told beside the picture. */
const everywhereOf = (
  chart: Chart,
  edges: readonly Edge[],
  { x, y, width, height, isStacked }: NonNullable<Layout['everywhere']>,
): string => {
  const column = Math.floor((width - 14) / edges.length)
  const rows = edges.map((edge, index) => {
    const words = `${labelLines(edge).join(', ')} → ${leafOf(edge.to)}`
    const title = `<title>${xml(titleOf({ ...edge, from: chart.id }))}</title>`
    const place = isStacked
      ? `x="${x + 14}" y="${y + 44 + index * 15}"`
      : `x="${x + 14 + index * column}" y="${y + 44}"`
    return `<g id="${xml(edgeId(chart.id, edge.to))}" class="edge">${title}<text ${place} class="label start">${xml(words)}</text></g>`
  })
  return `<g class="aside"><rect x="${x}" y="${y}" width="${width}" height="${height}" rx="8"/><text x="${x + 14}" y="${y + 23}" class="small">In every state that has no arrow of its own for it</text>${rows.join('')}</g>`
}

const legendOf = ({ x, y }: Point): string =>
  `<text x="${x}" y="${y}" class="small">A frame is the life of one resource: leaving it ends what runs in it.   ≤ is a deadline.   watched: the heartbeat must speak up in time.</text>`

const xml = (text: string): string => text.replaceAll(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`)

/** An arrow head for each colour of line: that a head takes the colour of its line is still new to some readers. */
const marker = `<defs>${['plain', 'main', 'wait', 'person']
  .map(
    (kind) =>
      `<marker id="tip-${kind}" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" markerHeight="8" markerUnits="userSpaceOnUse" orient="auto"><path d="M0 1L10 5L0 9z"/></marker>`,
  )
  .join('')}</defs>`

const css = `
svg{--paper:#fff;--ink:#1f2328;--soft:#59636e;--line:#7d8590;--frame:#c8d1da;--way:#eef4ff;--way-line:#5b8def;--live:#e3f7e8;--live-line:#2da44e;--worse:#fff5dd;--worse-line:#bf8700;--wait:#f4f0fd;--wait-line:#8250df;--person:#ffeeee;--person-line:#cf222e;--end:#f0f2f4;--end-line:#6e7781;font-family:system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue","DejaVu Sans",sans-serif}
@media (prefers-color-scheme:dark){svg{--paper:#0d1117;--ink:#e6edf3;--soft:#9ba3ad;--line:#7d8590;--frame:#3a424b;--way:#111f36;--way-line:#4c8dff;--live:#0f2a19;--live-line:#3fb950;--worse:#2b2110;--worse-line:#d29922;--wait:#1e1835;--wait-line:#a371f7;--person:#2f1517;--person-line:#f85149;--end:#1b2129;--end-line:#8b949e}}
.paper{fill:var(--paper)}
text{fill:var(--ink);font-size:12px}
.name{font-size:15px;font-weight:600}
.small{fill:var(--soft);font-size:12px;font-weight:400}
.node text{text-anchor:middle}
.node rect{stroke-width:1.5}
.node .inner{stroke-width:1}
.way rect{fill:var(--way);stroke:var(--way-line)}
.live rect{fill:var(--live);stroke:var(--live-line);stroke-width:2.5}
.worse rect{fill:var(--worse);stroke:var(--worse-line)}
.wait rect{fill:var(--wait);stroke:var(--wait-line)}
.person rect{fill:var(--person);stroke:var(--person-line)}
.end rect{fill:var(--end);stroke:var(--end-line)}
.frame rect{fill:none;stroke:var(--frame);stroke-width:1.5}
.frame .name{fill:var(--soft);font-size:13px}
.aside rect{fill:none;stroke:var(--frame);stroke-dasharray:4 4}
.edge path{fill:none;stroke:var(--line);stroke-width:1.4;marker-end:url(#tip-plain)}
.edge.main path{stroke:var(--way-line);stroke-width:2.4;marker-end:url(#tip-main)}
.edge.wait path{stroke:var(--wait-line);marker-end:url(#tip-wait)}
.edge.person path{stroke:var(--person-line);marker-end:url(#tip-person)}
.label{paint-order:stroke;stroke:var(--paper);stroke-width:5px;stroke-linejoin:round}
.start{text-anchor:start}
.middle{text-anchor:middle}
.end{text-anchor:end}
.initial circle{fill:var(--ink)}
.initial path{fill:none;stroke:var(--ink);stroke-width:1.4;marker-end:url(#tip-plain)}
#tip-plain path{fill:var(--line)}
#tip-main path{fill:var(--way-line)}
#tip-wait path{fill:var(--wait-line)}
#tip-person path{fill:var(--person-line)}
`
