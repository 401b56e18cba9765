/**
 * A layout for any chart, where nobody has placed the parts by hand: states one below the other, those within a frame
 * between its borders, and every arrow in a lane of its own at the right, with its words where it leaves.
 */
import { type Box, box, type Layout, type Line, type Point, state } from './layout.ts'
import { type Chart, type Edge, edgesOf, type State } from './model.ts'
import { isNested, labelLines } from './svg.ts'

const MARGIN = 24
/** Room for the dot of the state that is entered first. */
const INDENT = 30
const GAP = 14
const BOX_HEIGHT = 50
const TITLE_HEIGHT = 30
const LINE_HEIGHT = 15
const LANE_WIDTH = 14
const LETTER = { name: 9, small: 7 }

/** Where an arrow leaves or meets a state, from the top of it. */
interface Port {
  readonly edge: Edge
  readonly leaves: boolean
  readonly height: number
}

export const stackedLayout = (chart: Chart): Layout => {
  const edges = edgesOf(chart)
  const drawn = edges.filter(({ from }) => from !== '')
  const everywhere = edges.filter(({ from }) => from === '')
  const column = MARGIN + INDENT + columnWidth(chart)
  const labels = column + GAP
  const firstLane = labels + widest(drawn.flatMap(labelLines), LETTER.small) + GAP
  const width = firstLane + drawn.length * LANE_WIDTH + MARGIN

  const boxes = new Map<string, Box>()
  const leaving = new Map<Edge, number>()
  const meeting = new Map<Edge, number>()

  /** Returns where the next one may begin. */
  const place = ({ path }: Pick<State, 'path'>, left: number, right: number, top: number): number => {
    const parts = chart.states.filter(({ parent }) => parent === path)
    let y = top + (parts.length > 0 ? TITLE_HEIGHT : GAP / 2)
    for (const { edge, leaves, height } of portsOf(drawn, path)) {
      y += height
      ;(leaves ? leaving : meeting).set(edge, y - GAP / 2)
    }
    for (const part of parts) y = place(part, left + INDENT, right - GAP, y)
    const bottom = parts.length > 0 ? y : Math.max(y + GAP / 2, top + BOX_HEIGHT)
    boxes.set(path, box(left, top, right, bottom))
    return bottom + GAP
  }
  const tops = chart.states.filter(({ parent }) => parent === '')
  const bottom = tops.reduce((y, each) => place(each, MARGIN + INDENT, column, y), MARGIN)
  const height = bottom + (everywhere.length > 0 ? 50 + everywhere.length * LINE_HEIGHT : 0) + MARGIN

  const lines = [...drawn]
    .sort((a, b) => spanOf(a) - spanOf(b))
    .map((edge, index) => [`${edge.from}>${edge.to}`, lineOf(edge, firstLane + index * LANE_WIDTH)] as const)
  const frames = chart.states.filter((each) => isNested(chart, each))
  const leaves = chart.states.filter((each) => !isNested(chart, each))
  const firsts = [chart.initial, ...chart.states.map(({ initial }) => initial)]
  return {
    width,
    height,
    states: Object.fromEntries(leaves.map(({ path, final }) => [path, toned(boxes.get(path)!, final)])),
    frames: Object.fromEntries(frames.map(({ path }) => [path, boxes.get(path)!])),
    lines: Object.fromEntries(lines),
    initials: firsts.flatMap((path) => (path === null ? [] : [initialOf(boxes.get(path)!)])),
    ...(everywhere.length > 0 && {
      everywhere: { ...box(MARGIN, bottom, width - MARGIN, height - MARGIN), isStacked: true },
    }),
  }

  function spanOf(edge: Edge): number {
    return Math.abs(leaving.get(edge)! - meeting.get(edge)!)
  }

  function lineOf(edge: Edge, lane: number): Line {
    const [from, to] = [leaving.get(edge)!, meeting.get(edge)!]
    const ends = [boxes.get(edge.from)!, boxes.get(edge.to)!].map(({ x, width }) => x + width)
    const points: Point[] = [
      { x: ends[0]!, y: from },
      { x: lane, y: from },
      { x: lane, y: to },
      { x: ends[1]!, y: to },
    ]
    const above = (labelLines(edge).length - 1) * LINE_HEIGHT + 5
    return { points, label: { x: labels, y: from - above, anchor: 'start' } }
  }
}

const portsOf = (edges: readonly Edge[], path: string): Port[] =>
  edges.flatMap((edge) => [
    ...(edge.from === path ? [{ edge, leaves: true, height: labelLines(edge).length * LINE_HEIGHT + GAP / 2 }] : []),
    ...(edge.to === path ? [{ edge, leaves: false, height: GAP }] : []),
  ])

const toned = ({ x, y, width, height }: Box, final: boolean) =>
  state(final ? 'end' : 'way', x, y, x + width, y + height)

const initialOf = ({ x, y }: Box) => ({ from: { x: x - 18, y: y + 14 }, to: { x, y: y + 14 } })

/** As wide as its widest state and whatever is around that. */
const columnWidth = (chart: Chart): number => {
  const depth = Math.max(1, ...chart.states.map(({ path }) => path.split('.').length))
  const small = chart.states.flatMap(({ tags, invokes }) => [[...tags, ...invokes, 'waits for a person'].join(' · ')])
  const names = chart.states.map(({ name }) => name)
  return Math.max(widest(names, LETTER.name), widest(small, LETTER.small)) + GAP * 2 + depth * (INDENT + GAP)
}

/** Chinese characters are about as wide as two others. */
const widest = (texts: readonly string[], letter: number): number =>
  Math.max(0, ...texts.map((text) => [...text].reduce((sum, char) => sum + (char > '\u2e80' ? 2 : 1), 0) * letter))
