/** What the reader chose stays chosen: kept by the browser, where it lets a page keep anything. */
import { effect, type Signal } from '@preact/signals'

const PREFIX = 'holdfast.'

export const remembered = <T extends string>(name: string, allowed: readonly T[]): T | undefined => {
  try {
    const kept = localStorage.getItem(PREFIX + name)
    return allowed.find((each) => each === kept)
  } catch {
    return undefined
  }
}

/** From its next change on. */
export const remember = (name: string, value: Signal<string>): void => {
  let isFirst = true
  effect(() => {
    const text = value.value
    if (!isFirst) keep(PREFIX + name, text)
    isFirst = false
  })
}

const keep = (name: string, text: string): void => {
  try {
    localStorage.setItem(name, text)
  } catch {
    // a page from disk, or a private window
  }
}
