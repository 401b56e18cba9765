/**
 * What happened to a link, or to several, as Mermaid's sequenceDiagram: who moved it, where it went, and when. It is made
 * from the records of transitions; what no record shows (frames, what users do) can be told beside them.
 */
import type { TransitionRecord } from '../observe/recorder.ts'
import { mermaidText } from './mermaid.ts'
import { duration } from './model.ts'

/** Something that one participant told another, or itself. */
export interface Message {
  /** On the clock of the records: milliseconds. */
  readonly elapsedMs: number
  readonly from: string
  readonly to: string
  readonly text: string
  /** It did not arrive, or ended what it came on. */
  readonly lost?: boolean
}

/** A transition, and whom the link was dealing with: `peer` unless told otherwise. */
export interface Move {
  readonly record: TransitionRecord
  readonly peer?: string
}

export type Happening = Message | Move

/**
 * The picture of what happened, oldest first. Participants stand from left to right as `names` lists them, under the
 * titles that it gives; any other comes behind, under its own name.
 */
export const sequenceOf = (happenings: readonly Happening[], names: Readonly<Record<string, string>> = {}): string => {
  const lines = happenings.flatMap((happening) => ('record' in happening ? moved(happening) : [happening]))
  const present = new Set(lines.flatMap((line) => ('over' in line ? [line.over] : [line.from, line.to])))
  const ordered = [...Object.keys(names).filter((name) => present.has(name)), ...present]
  const ids = new Map([...new Set(ordered)].map((name, index) => [name, `p${index}`]))
  const id = (name: string) => ids.get(name)!
  return [
    'sequenceDiagram',
    ...[...ids].map(([name, word]) => `  participant ${word} as ${mermaidText(names[name] ?? name)}`),
    ...lines.map((line) => `  ${'over' in line ? noteText(line, id(line.over)) : messageText(line, id)}`),
    '',
  ].join('\n')
}

interface Note {
  readonly over: string
  readonly text: string
}

const moved = ({ record, peer = 'peer' }: Move): (Message | Note)[] => {
  const { link, elapsedMs, from, to, delayMs, role } = record
  const { by, text, lost } = causeOf(record)
  const speaker = { link, peer, user: 'user' }[by]
  const message = { elapsedMs, from: speaker, to: link, text, ...(lost && { lost }) }
  const dial = { elapsedMs, from: link, to: peer, text }
  const name = role === undefined ? to : `${role}: ${to}`
  const note = { over: link, text: delayMs === undefined ? name : `${name}, at most ${duration(delayMs)}` }
  return [record.event === 'endpoint.resolved' ? dial : message, ...(from === to ? [] : [note])]
}

interface Cause {
  readonly by: 'link' | 'peer' | 'user'
  readonly text: string
  readonly lost?: true
}

/** Who caused a transition, in words. */
const causeOf = ({ event, reason, detail }: TransitionRecord): Cause => {
  const why = detail === undefined ? reason : `${reason}: ${detail}`
  switch (event) {
    case 'endpoint.resolved':
      return { by: 'link', text: 'dials' }
    case 'endpoint.failed':
      return { by: 'link', text: why }
    case 'transport.opened':
      return { by: 'peer', text: 'the socket is open' }
    case 'transport.lost':
      return { by: 'peer', text: why, lost: true }
    case 'peer.welcomed':
      return { by: 'peer', text: 'welcome' }
    case 'replay.completed':
      return { by: 'peer', text: 'caught up' }
    case 'heartbeat.missed':
      return { by: 'link', text: 'no answer to the probe' }
    case 'heartbeat.seen':
      return { by: 'peer', text: 'a sign of life' }
    case 'account.impaired':
      return { by: 'peer', text: why }
    case 'account.recovered':
      return { by: 'peer', text: 'the account is well again' }
    case 'dial.invited':
      return { by: 'link', text: `invited: ${reason}` }
    default:
      return event.startsWith('operator.')
        ? { by: 'user', text: event.slice('operator.'.length) }
        : { by: 'link', text: reason === event ? event : `${event}: ${reason}` }
  }
}

const noteText = ({ text }: Note, over: string): string => `Note over ${over}: ${mermaidText(text)}`

const messageText = ({ elapsedMs, from, to, text, lost }: Message, id: (name: string) => string): string => {
  const time = `${(elapsedMs / 1_000).toFixed(3)} s`
  // accounts of several addresses are long: each on a line of its own
  const words = text.split('; ').map(mermaidText).join('<br/>')
  return `${id(from)}${lost ? '--x' : '->>'}${id(to)}: ${time} ${words}`
}
