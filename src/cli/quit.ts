/** When a person has had enough: q, Ctrl-C, Ctrl-D, or a signal. */

export interface Quit {
  readonly asked: Promise<void>
  /** Gives the keyboard back. */
  release(): void
}

const ENOUGH = ['q', '\u0003', '\u0004']

/** Other keys are handed on. */
export const quit = (pressed: (keys: string) => void = () => undefined): Quit => {
  const { stdin } = process
  let ask: () => void = () => undefined
  const asked = new Promise<void>((resolve) => {
    ask = resolve
  })
  const press = (keys: Buffer) => {
    const text = String(keys)
    if (ENOUGH.some((key) => text.includes(key))) ask()
    else pressed(text)
  }
  if (stdin.isTTY) stdin.setRawMode(true).on('data', press).resume()
  process.on('SIGINT', ask).on('SIGTERM', ask)
  const release = () => {
    process.off('SIGINT', ask).off('SIGTERM', ask)
    if (stdin.isTTY) stdin.off('data', press).setRawMode(false).pause()
  }
  return { asked, release }
}
