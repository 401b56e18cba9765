/** `holdfast doctor` as it is in src/ now: here, and in the laboratory. */
import { runnable } from '../lab/bundle.ts'
import type { Lab } from '../lab/lab.ts'
import type { CommandLine } from './command-line.ts'
import { type Ran, ran } from './ran.ts'

const COMMAND = 'src/cli/cli.ts'

export const runDoctor = async (args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Ran> =>
  ran(await runnable(COMMAND), args, env)

export const runDoctorIn = async (lab: Lab, args: readonly string[]): Promise<Ran> => {
  const commandLine: CommandLine = { file: await runnable(COMMAND), args }
  return lab.run<Ran>('test/doctor/command-line.ts', commandLine, { withinMs: 40_000 })
}
