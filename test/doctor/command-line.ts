/** The command line as a program of the laboratory, which has one argument of JSON: the file to run, and its arguments. */
import { argument } from '../lab/programs/program.ts'

export interface CommandLine {
  readonly file: string
  readonly args: readonly string[]
}

const { file, args } = argument<CommandLine>()
process.argv = [process.execPath, file, ...args]
await import(file)
