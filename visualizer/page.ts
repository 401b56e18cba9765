/** Plays a recording on the chart. Works from disk, without a server and without a network. */
import chart from '../docs/link.svg'
import { faults } from '../machines/fault.ts'
import type { TransitionRecord } from '../src/observe/recorder.ts'
import { edgesOf, nodeOf, type Recording, readRecording } from './recording.ts'

const STEP_MS = 700

const byId = <T extends Element>(id: string): T => document.getElementById(id) as unknown as T

const moment = byId<HTMLInputElement>('moment')
const play = byId<HTMLButtonElement>('play')
const words = byId<HTMLOutputElement>('words')
const log = byId<HTMLDivElement>('log')
let recording: Recording = { records: [], skipped: 0 }
let timer: number | undefined

// the drawing is ours and was made at build time; everything that a file says goes through textContent
byId<HTMLDivElement>('chart').innerHTML = chart

const open = (text: string) => {
  stop()
  recording = readRecording(text)
  const { records, skipped } = recording
  moment.max = String(Math.max(0, records.length - 1))
  moment.disabled = play.disabled = records.length === 0
  log.replaceChildren(tableOf(records))
  if (records.length === 0) words.textContent = 'there is no transition in this file'
  else show(0)
  if (skipped > 0) words.textContent += ` (${skipped} lines are not transitions)`
}

const show = (index: number) => {
  const record = recording.records[index]
  if (!record) return
  moment.value = String(index)
  for (const marked of document.querySelectorAll('.here, .taken')) marked.classList.remove('here', 'taken')
  byId<SVGElement>(nodeOf(record.to))?.classList.add('here')
  edgesOf(record)
    .map((id) => byId<SVGElement>(id))
    .find(Boolean)
    ?.classList.add('taken')
  words.textContent = sentence(record)
  const rows = log.querySelectorAll('tbody tr')
  for (const row of rows) row.removeAttribute('aria-current')
  rows[index]?.setAttribute('aria-current', 'true')
  rows[index]?.scrollIntoView({ block: 'nearest' })
}

const sentence = ({ to, reason, event, detail, delayMs }: TransitionRecord): string => {
  const because = reason in faults ? faults[reason as keyof typeof faults].because.en : event
  const wait = delayMs === undefined ? '' : `, next dial in ${(delayMs / 1000).toFixed(1)} s at the latest`
  return `${to}: ${because}${detail ? ` (${detail})` : ''}${wait}`
}

const tableOf = (records: readonly TransitionRecord[]): HTMLTableElement => {
  const table = document.createElement('table')
  const head = table.createTHead().insertRow()
  for (const name of ['time', 'link', 'from', 'to', 'reason', 'attempt']) {
    const cell = document.createElement('th')
    cell.textContent = name
    head.append(cell)
  }
  const body = table.createTBody()
  records.forEach((record, index) => {
    const row = body.insertRow()
    row.addEventListener('click', () => show(index))
    const time = new Date(record.at).toISOString().slice(11, 23)
    for (const text of [time, record.link, record.from, record.to, record.reason, String(record.attempt)]) {
      row.insertCell().textContent = text
    }
  })
  return table
}

const stop = () => {
  clearInterval(timer)
  timer = undefined
  play.textContent = 'play'
}

const start = () => {
  play.textContent = 'pause'
  timer = setInterval(() => {
    const next = Number(moment.value) + 1
    if (next >= recording.records.length) stop()
    else show(next)
  }, STEP_MS) as unknown as number
}

play.addEventListener('click', () => (timer === undefined ? start() : stop()))
moment.addEventListener('input', () => show(Number(moment.value)))
byId<HTMLInputElement>('file').addEventListener('change', async ({ target }) => {
  const input = target as HTMLInputElement
  const [file] = input.files ?? []
  if (file) open(await file.text())
  // so that the same file, which may have grown, can be chosen again
  input.value = ''
})
document.addEventListener('dragover', (event) => {
  event.preventDefault()
  document.body.classList.add('over')
})
document.addEventListener('dragleave', () => document.body.classList.remove('over'))
document.addEventListener('drop', async (event) => {
  event.preventDefault()
  document.body.classList.remove('over')
  const [file] = event.dataTransfer?.files ?? []
  if (file) open(await file.text())
})
