/** The drawing of the machine with the chosen link in it: where it is, how it came there, how long it may stay. */

import { edges, svg } from 'virtual:chart'
import { effect } from '@preact/signals'
import { useEffect, useRef } from 'preact/hooks'
import { edgeOf, nodeIdOf } from './edges.ts'
import { Playback } from './playback.ts'
import type { Link, Records, Source } from './source.ts'
import { chosen, chosenIndex, motionless, moved, source, tenth, version } from './store.ts'
import { word } from './words.ts'

const FLASH_MS = 600
const SVG = 'http://www.w3.org/2000/svg'

const make = (name: string, attributes: Record<string, string | number>): SVGElement => {
  const element = document.createElementNS(SVG, name)
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value))
  return element
}

/** The drawing is ours and was made with the page; nothing that comes over a wire is ever parsed. */
const drawing = (): SVGSVGElement => {
  const parsed = new DOMParser().parseFromString(svg, 'image/svg+xml').documentElement
  return document.importNode(parsed, true) as unknown as SVGSVGElement
}

/** Knows the elements of one drawing and lights them up. */
class Lit {
  readonly #root: SVGSVGElement
  readonly #ring = make('rect', { class: 'ring', pathLength: 1, rx: 14 })
  readonly #badges = new Map<number, { group: SVGElement; text: SVGElement }>()
  #here: Element | null = null
  #counted = ''

  constructor(root: SVGSVGElement) {
    this.#root = root
    root.append(this.#ring)
  }

  #find(id: string): SVGGraphicsElement | null {
    return this.#root.querySelector<SVGGraphicsElement>(`#${CSS.escape(id)}`)
  }

  stand(link: Link | undefined, now: number): void {
    const node = link ? this.#find(nodeIdOf(link.state)) : null
    if (node !== this.#here) {
      this.#here?.classList.remove('here')
      node?.classList.add('here')
      this.#here = node
    }
    const box = node?.querySelector('rect')
    const whole = link ? link.dueAt - link.since : 0
    const left = link ? link.dueAt - now : 0
    this.#ring.classList.toggle('off', !box || !(whole > 0) || link!.dueAt < 0 || left <= 0)
    if (!box) return
    for (const [key, grow] of [
      ['x', -5],
      ['y', -5],
      ['width', 10],
      ['height', 10],
    ] as const)
      this.#ring.setAttribute(key, String(Number(box.getAttribute(key)) + grow))
    const share = Math.min(1, Math.max(0, left / whole))
    this.#ring.setAttribute('stroke-dasharray', `${share.toFixed(4)} 1`)
  }

  flash(index: number): void {
    const edge = edges[index] && this.#find(edges[index].id)
    if (!edge || motionless.peek()) return
    edge.classList.remove('flash')
    // the style is asked for, so that the same line can flash twice in a row
    void edge.getBoundingClientRect()
    edge.classList.add('flash')
    setTimeout(() => edge.classList.remove('flash'), FLASH_MS)
  }

  /** How often each line was taken, of the records up to one. */
  count(records: Records, length: number, key: string): void {
    if (key === this.#counted) return
    this.#counted = key
    const taken = new Uint32Array(edges.length)
    for (let i = 0; i < length; i++) {
      const edge = records.edge(i)
      if (edge >= 0) taken[edge]!++
    }
    for (const [edge, count] of taken.entries()) this.#badge(edge, count)
  }

  #badge(edge: number, count: number): void {
    const known = this.#badges.get(edge) ?? (count > 0 ? this.#makeBadge(edge) : undefined)
    if (!known) return
    known.group.classList.toggle('off', count === 0)
    known.text.textContent = count > 999 ? '999+' : String(count)
  }

  #makeBadge(edge: number): { group: SVGElement; text: SVGElement } | undefined {
    const element = this.#find(edges[edge]!.id)
    if (!element) return undefined
    const path = element.querySelector('path')
    const label = element.querySelector('text')
    const place = path
      ? path.getPointAtLength(path.getTotalLength() - Math.min(22, path.getTotalLength() * 0.4))
      : { x: Number(label?.getAttribute('x')) + 176, y: Number(label?.getAttribute('y')) - 4 }
    const group = make('g', { class: 'badge', transform: `translate(${place.x} ${place.y})` })
    const text = make('text', { y: 3.5 })
    group.append(make('rect', { x: -13, y: -8, width: 26, height: 16, rx: 8 }), text)
    this.#root.append(group)
    const badge = { group, text }
    this.#badges.set(edge, badge)
    return badge
  }
}

/** Records of the chosen link that count: all of a stream, those up to the moment of a trace. */
const reached = (from: Source, index: number): number =>
  from instanceof Playback ? from.position(index) + 1 : from.records(index).length

export const Chart = () => {
  const box = useRef<HTMLDivElement>(null)
  useEffect(() => {
    const root = drawing()
    box.current!.replaceChildren(root)
    const lit = new Lit(root)
    let position = -1
    let of = -1
    const stops = [
      effect(() => {
        tenth.value
        version.value
        lit.stand(chosen.value, source.value?.now() ?? 0)
      }),
      effect(() => {
        version.value
        const index = chosenIndex.value
        const from = source.value
        if (!from) return
        const length = reached(from, index)
        const records = from.records(index)
        lit.count(records, length, `${index} ${length} ${records.dropped} ${from.begin}`)
        if (!(from instanceof Playback)) return
        if (of === index && length === position + 1) lit.flash(records.edge(length - 1))
        of = index
        position = length
      }),
      effect(() => {
        const taken = new Set(moved.value.map(({ from, event, to }) => edgeOf(from, event, to)))
        for (const edge of taken) lit.flash(edge)
      }),
    ]
    return () => {
      for (const stop of stops) stop()
    }
  }, [])
  return (
    <section aria-labelledby="chart-title">
      <h2 id="chart-title">{word('chart')}</h2>
      <div class="chart" id="chart" ref={box} />
    </section>
  )
}
