/** Where a number can stand on the drawing without covering a word, a box or the line of somebody else. */

interface Box {
  readonly x: number
  readonly y: number
  readonly width: number
  readonly height: number
}

interface Point {
  readonly x: number
  readonly y: number
}

/** A place, by its middle. */
export type Place = Box

const WIDTH = 26
const HEIGHT = 16
const STEP = 6
/** How far beside its line a number may stand. */
const ASIDE = [0, 13, -13, 17, -17, 23, -23]
/** Words are wider while the reader's language or letters are others. */
const AIR = 2

const meet = (a: Box, b: Box): boolean =>
  a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height

const around = ({ x, y }: Point): Box => ({
  x: x - WIDTH / 2,
  y: y - HEIGHT / 2,
  width: WIDTH,
  height: HEIGHT,
})

const grown = ({ x, y, width, height }: Box): Box => ({
  x: x - AIR,
  y: y - AIR,
  width: width + 2 * AIR,
  height: height + 2 * AIR,
})

const pointsOf = (path: SVGPathElement): DOMPoint[] => {
  const length = path.getTotalLength()
  return Array.from({ length: Math.floor(length / STEP) + 1 }, (_, i) => path.getPointAtLength(i * STEP))
}

export class Places {
  readonly #taken: Box[]
  readonly #lines = new Map<Element, readonly Box[]>()

  constructor(root: SVGSVGElement) {
    const boxes = root.querySelectorAll<SVGGraphicsElement>('.edge text, .frame text, .node > rect')
    this.#taken = [...boxes].map((each) => grown(each.getBBox()))
    for (const edge of root.querySelectorAll('.edge')) {
      const path = edge.querySelector('path')
      if (path)
        this.#lines.set(
          edge,
          pointsOf(path).map(({ x, y }) => ({ x: x - 1, y: y - 1, width: 2, height: 2 })),
        )
    }
  }

  /** The free place nearest to the tip of the line, or else beside its words; if need be on the line of another. */
  take(edge: SVGGraphicsElement): Place {
    const places = [...alongLine(edge), ...besideWords(edge)]
    const free = places.filter((place) => !this.#taken.some((each) => meet(each, around(place))))
    const found = free.find((place) => !this.#isOnLine(around(place), edge)) ?? free[0] ?? places.at(-1)!
    const box = around(found)
    this.#taken.push(box)
    return { ...found, width: WIDTH, height: HEIGHT }
  }

  #isOnLine(box: Box, own: Element): boolean {
    for (const [edge, points] of this.#lines) if (edge !== own && points.some((each) => meet(each, box))) return true
    return false
  }
}

const alongLine = (edge: Element): Point[] => {
  const path = edge.querySelector('path')
  if (!path) return []
  const points = pointsOf(path).reverse()
  return ASIDE.flatMap((aside) =>
    points.flatMap(({ x, y }, i) => {
      // not on the arrow's head
      if (i < 2) return []
      const before = points[i - 1]!
      const isLevel = Math.abs(before.y - y) < Math.abs(before.x - x)
      return [isLevel ? { x, y: y + aside } : { x: x + aside, y }]
    }),
  )
}

const besideWords = (edge: Element): Point[] => {
  const words = edge.querySelector('text')
  if (!words) return []
  const { x, y, width, height } = words.getBBox()
  const [middle, far] = [y + height / 2, WIDTH / 2 + 4]
  return [
    { x: x + width + far, y: middle },
    { x: x - far, y: middle },
    { x: x + width / 2, y: y + height + HEIGHT / 2 + 2 },
    { x: x + width / 2, y: y - HEIGHT / 2 - 2 },
  ]
}
