/** `holdfast doctor` in a process of its own, as it is in src/ now. */
import { spawn } from 'node:child_process'
import { text } from 'node:stream/consumers'
import { runnable } from '../lab/bundle.ts'

export interface Ran {
  readonly exitCode: number | null
  readonly out: string
  readonly err: string
}

export const runDoctor = async (args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Ran> => {
  const child = spawn(process.execPath, [await runnable('src/cli/cli.ts'), 'doctor', ...args], {
    env: { ...process.env, LANG: 'C', LC_ALL: '', ...env },
  })
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve))
  const [out, err, exitCode] = await Promise.all([text(child.stdout), text(child.stderr), ended])
  return { exitCode, out, err }
}
