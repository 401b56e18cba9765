/** What a viewer is told once: the names that are numbers afterwards, and the chart. */
import { deadlines } from '../../../machines/delay.ts'
import { type FaultCode, faults } from '../../../machines/fault.ts'
import { linkMachine, type StateName, stateNames } from '../../../machines/link.ts'
import { causesOf, chartOf, edgesOf, holdOf } from '../../diagram/model.ts'
import { chartDeadlines, type Deadlines } from '../../options.ts'
import { version } from '../../version.ts'
import { type ArrowWords, type Hello, PROTOCOL } from './protocol.ts'

const faultCodes = Object.keys(faults) as FaultCode[]
const stateIndexes = new Map<string, number>(stateNames.map((name, index) => [name, index]))
const faultIndexes = new Map<string, number>(faultCodes.map((code, index) => [code, index]))

export const stateIndex = (state: StateName): number => stateIndexes.get(state)!

/** -1 for what is no fault. */
export const faultIndex = (code: string | undefined): number => faultIndexes.get(code ?? '') ?? -1

const chart = chartOf(linkMachine)

/** The last part of a path, as the picture has it. */
const drawn = (path: string): string => path.split('.').at(-1) || chart.id

const arrows: readonly ArrowWords[] = edgesOf(chart).map(({ from, to, arrows }) => ({
  from: drawn(from),
  to: drawn(to),
  events: causesOf(arrows),
}))

/** The chart's name of the deadline that ends a state, for those that have one. */
const deadlineNames = new Map<StateName, keyof typeof chartDeadlines>(
  chart.states.flatMap((state) => {
    const hold = holdOf(chart, state)
    const name = stateNames.find((each) => drawn(each) === state.name)
    if (hold.kind !== 'deadline' || name === undefined || !(hold.after.name in chartDeadlines)) return []
    return [[name, hold.after.name as keyof typeof chartDeadlines]]
  }),
)

/** How long a link with these options may stay in the state, or undefined where there is no such bound. */
export const boundOf = (state: StateName, own: Deadlines): number | undefined => {
  const name = deadlineNames.get(state)
  return name && own[chartDeadlines[name]]
}

const defaults = Object.fromEntries([...deadlineNames].map(([state, name]) => [state, deadlines[name]]))

export const hello = (now: number, control: boolean, labFaults: readonly string[], labLink?: string): Hello => ({
  t: 'hello',
  protocol: PROTOCOL,
  version,
  states: stateNames,
  arrows,
  deadlines: defaults,
  faults: faultCodes.map((code) => ({ code, ...faults[code] })),
  now,
  control,
  labFaults,
  ...(labLink !== undefined && { labLink }),
  runtime: `node ${process.versions.node} ${process.platform} ${process.arch}`,
})
