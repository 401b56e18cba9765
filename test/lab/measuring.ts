/** What the test files of the laboratory share: one laboratory for a describe, and runs of our way beside Node's. */
import { afterAll, beforeAll } from 'vitest'
import { type JsonProcess, type Lab, type Outcome, type Setup, type SetupName, startLab } from './lab.ts'
import type { ConnectArgument } from './programs/connect.ts'
import type { DialArgument, Reached } from './programs/dial.ts'

/** Starts the laboratory for the tests of one describe. */
export const labFor = (setup: SetupName | Setup): { readonly lab: Lab } => {
  const held: { lab: Lab } = { lab: undefined as never }
  beforeAll(async () => {
    held.lab = await startLab(setup)
  })
  afterAll(() => held.lab?.stop())
  return held
}

/** As Node does it by itself. */
export const connectIn = (lab: Lab, argument: Partial<ConnectArgument>): Promise<Outcome[]> =>
  lab.runAll<Outcome>('connect', { host: lab.target, port: lab.server.ports.echo, ...argument } as ConnectArgument)

/** As we do it. */
export const dialIn = async (lab: Lab, argument: Partial<DialArgument>): Promise<Reached[]> =>
  takeAll<Reached>(await startDial(lab, argument), (argument.runs ?? 1) * (argument.turns ?? 1))

export const startDial = (lab: Lab, argument: Partial<DialArgument>): Promise<JsonProcess> =>
  lab.start('dial', { host: lab.target, port: lab.server.ports.echo, ...argument } satisfies DialArgument)

/**
 * So many lines of a program, which is ended then. One that waits for its end would wait for getaddrinfo as well, whose
 * threads nothing can stop.
 */
export const takeAll = async <T>(program: JsonProcess, count: number): Promise<T[]> => {
  const taken = await take<T>(program, count)
  await program.close()
  return taken
}

export const take = async <T>(program: JsonProcess, count: number): Promise<T[]> => {
  const taken: T[] = []
  while (taken.length < count) taken.push(await program.next<T>())
  return taken
}

export const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1]!

export const slowest = (outcomes: readonly Outcome[]): number => Math.max(...outcomes.map(({ ms }) => ms))
