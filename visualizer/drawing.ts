/** The drawing of the machine on the page: knows its elements, lights them up, and counts on them. */
import { edges, svg } from 'virtual:chart'
import type { Language } from '../src/explain.ts'
import { inChinese } from './chart-words.ts'
import { nextEdges, nodeIdOf } from './edges.ts'
import { Places } from './places.ts'
import type { Link, Records } from './source.ts'

const FLASH_MS = 600
const SVG = 'http://www.w3.org/2000/svg'
const MARGIN = 8

const make = (name: string, attributes: Record<string, string | number>): SVGElement => {
  const element = document.createElementNS(SVG, name)
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value))
  return element
}

/** The drawing is ours and was made with the page; nothing that comes over a wire is ever parsed. */
const parsed = (): SVGSVGElement => {
  const root = document.importNode(new DOMParser().parseFromString(svg, 'image/svg+xml').documentElement, true)
  // the page has its own paper, and says below the drawing what the signs mean
  for (const each of root.querySelectorAll(':scope > .paper, :scope > text')) each.remove()
  return root as unknown as SVGSVGElement
}

interface Badge {
  readonly group: SVGElement
  readonly text: SVGElement
}

export class Drawing {
  readonly #root = parsed()
  readonly #ring = make('rect', { class: 'ring', pathLength: 1, rx: 14 })
  readonly #left = make('text', { class: 'small left' })
  readonly #badges = new Map<number, Badge | undefined>()
  readonly #words: { readonly node: Text; readonly text: string }[] = []
  #places: Places | undefined
  #here: Element | null = null
  #state = ''
  #counted = ''

  constructor(box: HTMLElement) {
    const root = this.#root
    box.replaceChildren(root)
    const texts = document.createTreeWalker(root, NodeFilter.SHOW_TEXT)
    while (texts.nextNode()) {
      const node = texts.currentNode as Text
      if (node.data.trim() !== '') this.#words.push({ node, text: node.data })
    }
    const { x, y, width, height } = root.getBBox()
    if (width > 0) {
      const box = [x - MARGIN, y - MARGIN, width + 2 * MARGIN, height + 2 * MARGIN].map(Math.round)
      root.setAttribute('viewBox', box.join(' '))
      // as wide as its place, and as high as that needs
      for (const size of ['width', 'height']) root.removeAttribute(size)
    }
    root.append(this.#ring)
  }

  #find(id: string): SVGGraphicsElement | null {
    return this.#root.querySelector<SVGGraphicsElement>(`#${CSS.escape(id)}`)
  }

  /** The names of the chart stay what they are; what is said about them is said in the reader's language. */
  speak(language: Language): void {
    for (const { node, text } of this.#words) node.data = language === 'zh' ? inChinese(text) : text
  }

  /** Returns the box of the state if the link has come to another one. */
  stand(link: Link | undefined, now: number, leftText: (ms: number) => string): Element | null {
    const moved = link?.state !== this.#state
    if (moved) this.#enter(link?.state ?? '')
    const whole = link ? link.dueAt - link.since : 0
    const left = link ? link.dueAt - now : 0
    const isDue = this.#here !== null && link !== undefined && link.dueAt >= 0 && whole > 0 && left > 0
    this.#ring.classList.toggle('off', !isDue)
    this.#here?.classList.toggle('due', isDue)
    if (isDue) {
      const share = Math.min(1, left / whole)
      this.#ring.setAttribute('stroke-dasharray', `${share.toFixed(4)} 1`)
      this.#left.textContent = leftText(left)
    }
    return moved ? this.#here : null
  }

  #enter(state: string): void {
    this.#state = state
    for (const each of this.#root.querySelectorAll('.here, .next')) each.classList.remove('here', 'due', 'next')
    this.#left.remove()
    this.#here = state === '' ? null : this.#find(nodeIdOf(state))
    this.#root.classList.toggle('standing', this.#here !== null)
    const box = this.#here?.querySelector('rect')
    if (!this.#here || !box) return
    this.#here.classList.add('here')
    for (const index of nextEdges(state)) this.#find(edges[index]!.id)?.classList.add('next')
    const small = this.#here.querySelector('.small')
    for (const key of ['x', 'y']) this.#left.setAttribute(key, small?.getAttribute(key) ?? '0')
    this.#here.append(this.#left)
    for (const [key, grow] of [
      ['x', -5],
      ['y', -5],
      ['width', 10],
      ['height', 10],
    ] as const)
      this.#ring.setAttribute(key, String(Number(box.getAttribute(key)) + grow))
  }

  flash(index: number): void {
    const edge = edges[index] && this.#find(edges[index].id)
    if (!edge) return
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
    if (!this.#badges.has(edge)) {
      if (count === 0) return
      this.#badges.set(edge, this.#makeBadge(edge))
    }
    const badge = this.#badges.get(edge)
    if (!badge) return
    badge.group.classList.toggle('off', count === 0)
    badge.text.textContent = count > 999 ? '999+' : String(count)
  }

  #makeBadge(edge: number): Badge | undefined {
    const element = this.#find(edges[edge]!.id)
    if (!element) return undefined
    this.#places ??= new Places(this.#root)
    const { x, y, width, height } = this.#places.take(element)
    const group = make('g', { class: 'badge', transform: `translate(${x} ${y})` })
    const text = make('text', { y: 4 })
    group.append(make('rect', { x: -width / 2, y: -height / 2, width, height, rx: height / 2 }), text)
    this.#root.append(group)
    return { group, text }
  }
}
