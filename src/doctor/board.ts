/** Collects the layers, cleans them of secrets, and shows them in order although they may be known in another one. */
import type { Scrub } from '../secret.ts'
import { type Examined, type Layer, type LayerName, layerNames, type Skipped } from './layers.ts'

export class Board {
  readonly #scrub: Scrub
  readonly #show: (layer: Layer, soFar: readonly Layer[]) => void
  readonly #waiting = new Map<LayerName, Layer>()
  readonly #shown: Layer[] = []

  constructor(scrub: Scrub, show: (layer: Layer, soFar: readonly Layer[]) => void = () => undefined) {
    this.#scrub = scrub
    this.#show = show
  }

  put(layer: Examined): void {
    this.#add(cleaned(layer, this.#scrub) as Examined)
  }

  skip(name: LayerName, why: Skipped['skipped'] = 'not-needed'): void {
    this.#add(skipped(name, why))
  }

  /** Whatever is missing was not reached. */
  finish(): readonly Layer[] {
    for (const name of layerNames) {
      if (!this.#waiting.has(name) && !this.#shown.some((layer) => layer.name === name)) {
        this.skip(name, 'not-reached')
      }
    }
    return this.#shown
  }

  #add(layer: Layer): void {
    this.#waiting.set(layer.name, layer)
    for (let next = this.#next(); next; next = this.#next()) {
      this.#waiting.delete(next.name)
      this.#shown.push(next)
      this.#show(next, this.#shown)
    }
  }

  #next(): Layer | undefined {
    const name = layerNames[this.#shown.length]
    return name === undefined ? undefined : this.#waiting.get(name)
  }
}

const skipped = (name: LayerName, why: Skipped['skipped']): Skipped => ({ name, ok: null, ms: null, skipped: why })

/** Every text in it: names in certificates, reasons of closes and the like are written by others. */
const cleaned = (value: unknown, scrub: Scrub): unknown => {
  if (typeof value === 'string') return scrub(value)
  if (Array.isArray(value)) return value.map((each) => cleaned(each, scrub))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, cleaned(each, scrub)]))
}
