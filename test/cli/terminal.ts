/** The command line in a terminal of its own (a pseudo-terminal, by `script` of util-linux), as a person has it. */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { runnable } from '../lab/bundle.ts'

export const hasTerminal = (process.env.PATH ?? '').split(delimiter).some((each) => existsSync(join(each, 'script')))

export interface Terminal {
  /** All that was written to it so far. */
  readonly text: () => string
  press(keys: string): void
  /** Resolves to the exit code. */
  readonly ended: Promise<number | null>
}

export interface TerminalOptions {
  /** Default: the command line as it is in src/. */
  readonly program?: string
  readonly columns?: number
  readonly rows?: number
  /** What it becomes half a second later. */
  readonly resizeTo?: { readonly columns: number; readonly rows: number }
  readonly env?: Readonly<Record<string, string>>
}

export const terminal = async (args: readonly string[], options: TerminalOptions = {}): Promise<Terminal> => {
  const { program = 'src/cli/cli.ts', columns = 80, rows = 24, resizeTo, env } = options
  const file = await runnable(program)
  const resize = resizeTo ? `(sleep 0.5; stty cols ${resizeTo.columns} rows ${resizeTo.rows} < /dev/tty) & ` : ''
  const quoted = [process.execPath, file, ...args].map((each) => `'${each}'`).join(' ')
  const command = `stty cols ${columns} rows ${rows}; ${resize}exec ${quoted}`
  // with CI set Node takes no terminal for one with colours
  const { NO_COLOR, FORCE_COLOR, CI, ...inherited } = process.env
  const child = spawn('script', ['-qefc', command, '/dev/null'], {
    env: { ...inherited, LANG: 'C', LC_ALL: '', TERM: 'xterm', ...env },
  })
  let text = ''
  child.stdout.setEncoding('utf8').on('data', (chunk) => {
    text += chunk
  })
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve))
  return { text: () => text, press: (keys) => void child.stdin.write(keys), ended }
}
