/** Why, in a sentence: what the table of faults says of a code, or the word itself where it is no fault. */
import { type FaultCode, faults } from '../machines/fault.ts'
import { explain, type Language } from '../src/explain.ts'
import { isState } from './palette.ts'
import type { Link } from './source.ts'
import { stateWord, word } from './words.ts'

export const isFaultCode = (code: string | null): code is FaultCode => code !== null && Object.hasOwn(faults, code)

export const reasonText = (code: string, language: Language): string =>
  isFaultCode(code) ? `${code}: ${faults[code].because[language]}` : code

/** What a reader may look for: a code, or what is said about it in either language. */
export const sought = (text: string): string =>
  (isFaultCode(text) ? `${text}\n${faults[text].because.en}\n${faults[text].because.zh}` : text).toLowerCase()

/** Where it is, why, and what happens next; counts down where there is a moment to count to. */
export const situation = (link: Link, now: number, language: Language): string => {
  const { id, state, since, attempt, fault, detail, dueAt } = link
  // A state of another version has no sentence here.
  if (!isState(state)) return `${id}: ${stateWord(state)} ${fault ?? ''}`
  const known = isFaultCode(fault) ? { code: fault, ...(detail !== undefined && { detail }) } : null
  // The end of the time in which live proves itself moves nothing.
  const nextDialAt = dueAt < 0 || state === 'live' ? null : dueAt
  const told = explain({ id, state, since, attempt, fault: known, nextDialAt }, now, language).text
  return fault !== null && known === null && state !== 'live' ? `${told} (${word('because')}: ${fault})` : told
}
