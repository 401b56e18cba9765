/** The command line as it is in src/ now, in a process of its own, to its end. */
import { spawn } from 'node:child_process'
import { text } from 'node:stream/consumers'
import { runnable } from '../lab/bundle.ts'

export interface Ran {
  readonly exitCode: number | null
  readonly out: string
  readonly err: string
}

export const holdfast = async (...args: string[]): Promise<Ran> => {
  const file = await runnable('src/cli/cli.ts')
  const child = spawn(process.execPath, [file, ...args], { env: { ...process.env, LANG: 'C', LC_ALL: '' } })
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve))
  const [out, err, exitCode] = await Promise.all([text(child.stdout), text(child.stderr), ended])
  return { exitCode, out, err }
}
