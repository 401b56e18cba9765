/** How a state looks where there is no room for its name: a colour that most eyes tell apart, and a sign for all others. */
import type { StateName } from '../machines/link.ts'

export interface Look {
  readonly color: string
  /** Of what is written on the colour. */
  readonly ink: string
  readonly glyph: string
}

const dark = '#10151c'
const light = '#ffffff'
const look = (color: string, glyph: string, ink = dark): Look => ({ color, ink, glyph })

/** After Okabe and Ito: blues are on the way, green is live, yellow and orange are in doubt, red waits for a person. */
const looks: Record<StateName, Look> = {
  resolving: look('#a6d8f5', '?'),
  connecting: look('#56b4e9', '›'),
  handshaking: look('#0072b2', '»', light),
  registered: look('#8fd6c0', '+'),
  live: look('#1aa87e', '●'),
  'degraded.suspect': look('#f0e442', '!'),
  'degraded.impaired': look('#e69f00', '▲'),
  backoff: look('#cc79a7', '↻'),
  closing: look('#a3a9b1', '×'),
  parked: look('#d55e00', '■'),
  stopped: look('#5d646d', '–', light),
}

const stranger = look('#000000', '¿', light)

/** A state that this page does not know comes from a newer holdfast, or from a trace that somebody made up. */
export const lookOf = (state: string): Look => (Object.hasOwn(looks, state) ? looks[state as StateName] : stranger)

export const stateNames = Object.keys(looks) as StateName[]

export const isState = (state: string): state is StateName => Object.hasOwn(looks, state)

/** What wants a look first, first. */
const urgency: readonly StateName[] = [
  'parked',
  'degraded.impaired',
  'backoff',
  'degraded.suspect',
  'resolving',
  'connecting',
  'handshaking',
  'registered',
  'closing',
  'stopped',
  'live',
]

export const urgencyOf = (state: string): number => (urgency as readonly string[]).indexOf(state)
export const byUrgency = (a: string, b: string): number => urgencyOf(a) - urgencyOf(b)
