/** Where a number can stand on the drawing without covering a word, a box or the line of somebody else. */

interface Box {
  readonly x: number
  readonly y: number
  readonly width: number
  readonly height: number
}

/** A place, by its middle. */
export type Place = Box

const WIDTH = 26
const HEIGHT = 16
const STEP = 6
/** How far beside its line a number may stand. */
const ASIDE = [0, 13, -13, 17, -17]
/** Words are wider while the reader's language or letters are others. */
const AIR = 2

const meet = (a: Box, b: Box): boolean =>
  a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height

const around = ({ x, y }: { x: number; y: number }): Box => ({
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

  /** The free place nearest to the tip of the line; beside the words where there is no line. */
  take(edge: SVGGraphicsElement): Place {
    const path = edge.querySelector('path')
    const place = (path && this.#along(path, edge)) ?? this.#besideWords(edge)
    const box = around(place)
    this.#taken.push(box)
    return { ...place, width: WIDTH, height: HEIGHT }
  }

  #along(path: SVGPathElement, edge: Element): { x: number; y: number } | undefined {
    const points = pointsOf(path).reverse()
    for (const aside of ASIDE) {
      for (const [i, { x, y }] of points.entries()) {
        const before = points[i + 1] ?? points[i - 1]!
        const isLevel = Math.abs(before.y - y) < Math.abs(before.x - x)
        const place = isLevel ? { x, y: y + aside } : { x: x + aside, y }
        if (i > 1 && this.#isFree(around(place), edge)) return place
      }
    }
    return undefined
  }

  #isFree(box: Box, own: Element): boolean {
    if (this.#taken.some((each) => meet(each, box))) return false
    for (const [edge, points] of this.#lines) if (edge !== own && points.some((each) => meet(each, box))) return false
    return true
  }

  #besideWords(edge: SVGGraphicsElement): { x: number; y: number } {
    const { x, y, width, height } = edge.querySelector('text')!.getBBox()
    return { x: x + width + WIDTH / 2 + 4, y: y + height / 2 }
  }
}
