/** The chosen link in sentences: why it is here, what happens next, and when. And what may be ordered. */
import { useEffect, useState } from 'preact/hooks'
import { diagnosis } from './diagnosis.ts'
import { lookOf } from './palette.ts'
import { Playback } from './playback.ts'
import { situation } from './reason.ts'
import { canOrder, chosen, fleet, gone, orders, replaying, shownAt, source } from './store.ts'
import { fill, language, lasting, stateWord, word } from './words.ts'

export const Why = () => {
  const link = chosen.value
  return (
    <section aria-labelledby="why-title">
      <div class="row">
        <h2 id="why-title">{word('why')}</h2>
        {link && <CopyDiagnosis />}
      </div>
      {link ? <Situation /> : <Nobody />}
      <Announcement />
    </section>
  )
}

const Nobody = () => (
  <p class="quiet" id="nobody" role="status">
    {gone.value !== null
      ? fill('gone', gone.value)
      : source.value?.links.length === 0
        ? word('noLinks')
        : word('choose')}
  </p>
)

const Situation = () => {
  const link = chosen.value
  if (!link) return null
  const now = shownAt()
  return (
    <>
      <div class="state">
        <StateMark state={link.state} /> <b class="id">{link.id}</b>
        {link.adapter && <span class="quiet">{link.adapter}</span>}
        <span>
          {stateWord(link.state)} · {word('for')} {lasting(now - link.since)}
        </span>
        {fleet.value?.hello.control && !replaying.value && (
          <Orders key={link.index} index={link.index} state={link.state} />
        )}
      </div>
      <p id="why">{situation(link, now, language.value)}</p>
    </>
  )
}

export const StateMark = ({ state }: { state: string }) => {
  const { color, ink, glyph } = lookOf(state)
  return (
    <span class="mark" aria-hidden="true" style={{ backgroundColor: color, color: ink }}>
      {glyph}
    </span>
  )
}

const SURE_MS = 4_000
const ordersThere = ['retry', 'hold', 'resume', 'stop'] as const

/** An order that the state would not hear is not offered: nothing would happen, and it would look obeyed. */
const isHeard = (cmd: (typeof ordersThere)[number], state: string): boolean => {
  if (cmd === 'retry') return state === 'backoff'
  if (cmd === 'resume') return state === 'parked'
  if (cmd === 'hold') return !['parked', 'closing', 'stopped'].includes(state)
  return state !== 'stopped'
}

const Orders = ({ index, state }: { index: number; state: string }) => {
  const [asked, ask] = useState(false)
  useEffect(() => {
    if (!asked) return
    const timer = setTimeout(() => ask(false), SURE_MS)
    return () => clearTimeout(timer)
  }, [asked])
  const press = (cmd: (typeof ordersThere)[number]) => {
    if (!canOrder.value || !isHeard(cmd, state)) return
    // nothing brings a stopped link back, so it takes two presses
    if (cmd === 'stop' && !asked) return ask(true)
    ask(false)
    orders.send?.(cmd, { index })
  }
  return (
    // biome-ignore lint/a11y/useSemanticElements: a fieldset is for what is filled in
    <div class="orders" role="group" aria-label={word('actions')}>
      {ordersThere.map((cmd) => (
        <button
          type="button"
          key={cmd}
          id={`order-${cmd}`}
          class={cmd === 'stop' && asked ? 'sure' : ''}
          // one that is pressed keeps the focus, which a disabled button would lose
          aria-disabled={!canOrder.value || !isHeard(cmd, state)}
          onClick={() => press(cmd)}
        >
          {word(cmd === 'stop' && asked ? 'reallyStop' : cmd)}
        </button>
      ))}
    </div>
  )
}

const CopyDiagnosis = () => {
  const [said, say] = useState<'idle' | 'copied'>('idle')
  const [byHand, showByHand] = useState<string | null>(null)
  const copy = async () => {
    const from = source.peek()
    const link = chosen.peek()
    if (!from || !link) return
    const text = diagnosis({
      hello: from === fleet.peek() ? fleet.peek()?.hello : undefined,
      trace: from instanceof Playback ? from.trace : undefined,
      deadlines: fleet.peek() === from ? fleet.peek()?.deadlines(link.index) : undefined,
      trips: fleet.peek() === from ? fleet.peek()?.trips(link.index).ms : undefined,
      browser: navigator.userAgent,
      link,
      now: from.now(),
      records: from.records(link.index),
      reached: from.reached(link.index),
      language: language.peek(),
    })
    try {
      await navigator.clipboard.writeText(text)
      say('copied')
      setTimeout(() => say('idle'), 2_000)
    } catch {
      showByHand(text)
    }
  }
  return (
    <>
      <button type="button" class="small" id="copy" onClick={copy}>
        {word(said === 'copied' ? 'copied' : 'copy')}
      </button>
      {byHand !== null && (
        <div class="by-hand">
          <label>
            {word('copyByHand')}
            <textarea readOnly rows={12} value={byHand} />
          </label>
          <button type="button" onClick={() => showByHand(null)}>
            {word('close')}
          </button>
        </div>
      )}
    </>
  )
}

const ANNOUNCE_MS = 3_000

/** The chosen link for those who hear the page: each new state, and at most one in three seconds. */
const Announcement = () => {
  const link = chosen.value
  const [text, setText] = useState('')
  const state = link && `${link.id}: ${stateWord(link.state)}`
  const wanted = state ?? ''
  useEffect(() => {
    if (wanted !== '') announcer.want(wanted, setText)
  }, [wanted])
  return (
    <p class="hidden" id="announcement" aria-live="polite">
      {text}
    </p>
  )
}

const announcer = {
  last: Number.NEGATIVE_INFINITY,
  timer: undefined as number | undefined,
  want(text: string, say: (text: string) => void): void {
    clearTimeout(this.timer)
    const wait = Math.max(0, this.last + ANNOUNCE_MS - performance.now())
    this.timer = setTimeout(() => {
      this.last = performance.now()
      say(text)
    }, wait) as unknown as number
  },
}
