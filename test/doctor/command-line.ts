/** The command line as a program of the laboratory: it runs in the client's namespace, and what it said is one line. */
import { argument, print } from '../lab/programs/program.ts'
import { ran } from './ran.ts'

export interface CommandLine {
  readonly file: string
  readonly args: readonly string[]
}

const { file, args } = argument<CommandLine>()
print(await ran(file, args))
