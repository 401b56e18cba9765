/** `holdfast doctor` in a process of its own, to its end. */
import { spawn } from 'node:child_process'
import { text } from 'node:stream/consumers'

export interface Ran {
  readonly exitCode: number | null
  readonly out: string
  readonly err: string
}

/** `file` is the command line, built. */
export const ran = async (file: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Ran> => {
  const child = spawn(process.execPath, [file, 'doctor', ...args], {
    env: { ...process.env, LANG: 'C', LC_ALL: '', ...env },
  })
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve))
  const [out, err, exitCode] = await Promise.all([text(child.stdout), text(child.stderr), ended])
  return { exitCode, out, err }
}
