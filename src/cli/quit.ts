/** When a person has had enough: q, Ctrl-C, or a signal. */

export interface Quit {
  readonly asked: Promise<void>
  /** Gives the keyboard back. */
  release(): void
}

const CTRL_C = '\u0003'

export const quit = (): Quit => {
  const { stdin } = process
  let ask: () => void = () => undefined
  const asked = new Promise<void>((resolve) => {
    ask = resolve
  })
  const press = (keys: Buffer) => {
    const text = String(keys)
    if (text.includes('q') || text.includes(CTRL_C)) ask()
  }
  if (stdin.isTTY) stdin.setRawMode(true).on('data', press).resume()
  process.on('SIGINT', ask).on('SIGTERM', ask)
  const release = () => {
    process.off('SIGINT', ask).off('SIGTERM', ask)
    if (stdin.isTTY) stdin.off('data', press).setRawMode(false).pause()
  }
  return { asked, release }
}
