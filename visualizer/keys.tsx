/** The keys that work everywhere, and the page that tells them. */
import { useEffect, useRef } from 'preact/hooks'
import { enlarged } from './chart.tsx'
import { stateNames } from './palette.ts'
import { helpOpen, move, pause, play, replaying, step } from './store.ts'
import { StateMark } from './why.tsx'
import { stateMeaning, type Word, word } from './words.ts'

const told: readonly (readonly [key: string, what: Word])[] = [
  ['/', 'keyFilter'],
  ['Esc', 'keyEscape'],
  ['j k', 'keyMove'],
  ['g', 'keyGrid'],
  ['← → ↑ ↓', 'keyArrows'],
  ['t', 'keyTimeline'],
  ['w s', 'keyZoom'],
  ['a d', 'keyPan'],
  ['f', 'keyFollow'],
  ['c', 'keyChart'],
  ['space', 'keyPause'],
  [', .', 'keyStep'],
  ['?', 'keyHelp'],
]

const focus = (id: string) => document.getElementById(id)?.focus()

const acts: Record<string, () => unknown> = {
  '/': () => focus('filter'),
  j: () => move(1),
  k: () => move(-1),
  g: () => focus('grid'),
  t: () => focus('timeline'),
  c: () => (enlarged.value = !enlarged.value),
  ' ': () => (replaying.value ? play() : pause()),
  ',': () => step(-1),
  '.': () => step(1),
  '?': () => (helpOpen.value = true),
}

const press = (event: KeyboardEvent) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return
  const at = event.target as HTMLElement
  if (event.key === 'Escape' && at instanceof HTMLInputElement) return at.blur()
  // Who types means letters, and space on a button presses it.
  if (at.closest('input:not([type=range]), textarea, select, dialog')) return
  if (event.key === ' ' && at.closest('button')) return
  if (!Object.hasOwn(acts, event.key)) return
  event.preventDefault()
  acts[event.key]!()
}

export const listenToKeys = (): void => document.addEventListener('keydown', press)

export const Help = () => {
  const dialog = useRef<HTMLDialogElement>(null)
  useEffect(() => {
    if (helpOpen.value) dialog.current!.showModal()
    else dialog.current!.close()
  }, [helpOpen.value])
  return (
    <dialog ref={dialog} id="keys" aria-labelledby="keys-title" onClose={() => (helpOpen.value = false)}>
      <h2 id="keys-title">{word('help')}</h2>
      <dl>
        {told.map(([key, what]) => (
          <div key={key}>
            <dt>
              <kbd>{key === 'space' ? word('space') : key}</kbd>
            </dt>
            <dd>{word(what)}</dd>
          </div>
        ))}
      </dl>
      <p class="hint">{word('bandsKeys')}</p>
      <h2>{word('signs')}</h2>
      <dl class="signs">
        {stateNames.map((state) => (
          <div key={state}>
            <dt>
              <StateMark state={state} /> {state}
            </dt>
            <dd>{stateMeaning(state)}</dd>
          </div>
        ))}
      </dl>
      <p class="hint">{word('chartSigns')}</p>
      <button type="button" onClick={() => (helpOpen.value = false)}>
        {word('close')}
      </button>
    </dialog>
  )
}
