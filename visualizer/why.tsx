/** The chosen link in sentences: why it is here, what happens next, and when. And what may be ordered. */
import { useEffect, useState } from 'preact/hooks'
import { diagnosis } from './diagnosis.ts'
import { lookOf } from './palette.ts'
import { situation } from './reason.ts'
import { chosen, fleet, orders, paused, replaying, source, tenth, version } from './store.ts'
import { language, lasting, stateWord, word } from './words.ts'

/** The moment that sentences speak of: it stands still while the view is paused. */
let held = 0
const shownNow = (): number => {
  version.value
  if (!paused.value || replaying.value) {
    tenth.value
    held = source.value?.now() ?? 0
  }
  return held
}

export const Why = () => {
  const link = chosen.value
  return (
    <section aria-labelledby="why-title">
      <div class="row">
        <h2 id="why-title">{word('why')}</h2>
        {link && <CopyDiagnosis />}
      </div>
      {link ? <Situation /> : <p class="quiet">{word('choose')}</p>}
      {link && fleet.value?.hello.control && !replaying.value && <Orders index={link.index} state={link.state} />}
      <Announcement />
    </section>
  )
}

const Situation = () => {
  const link = chosen.value
  if (!link) return null
  const now = shownNow()
  return (
    <>
      <p class="state">
        <StateMark state={link.state} /> <b class="id">{link.id}</b>
        {link.adapter && <span class="quiet">{link.adapter}</span>}
        <span>
          {stateWord(link.state)} · {word('for')} {lasting(now - link.since)}
        </span>
      </p>
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

const Orders = ({ index, state }: { index: number; state: string }) => (
  // biome-ignore lint/a11y/useSemanticElements: a fieldset is for what is filled in
  <div class="orders" role="group" aria-label={word('actions')}>
    {(['retry', 'hold', 'resume', 'stop'] as const).map((cmd) => (
      <button
        type="button"
        key={cmd}
        id={`order-${cmd}`}
        disabled={state === 'stopped' || (cmd === 'resume') !== (state === 'parked')}
        onClick={() => orders.send?.(cmd, { index })}
      >
        {word(cmd)}
      </button>
    ))}
  </div>
)

const CopyDiagnosis = () => {
  const [said, say] = useState<'idle' | 'copied'>('idle')
  const [byHand, showByHand] = useState<string | null>(null)
  const copy = async () => {
    const from = source.peek()
    const link = chosen.peek()
    if (!from || !link) return
    const text = diagnosis({
      version: fleet.peek()?.hello.version,
      link,
      now: from.now(),
      records: from.records(link.index),
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
