/** Starts the page: reads the address, connects if there is a host to connect to, and waits for traces. */
import './page.css'
import './views.css'
import './chart.css'
import { effect } from '@preact/signals'
import { render } from 'preact'
import { App } from './app.tsx'
import { listenToKeys } from './keys.tsx'
import { remember } from './memory.ts'
import { chosen, isDark, moment, openFile, replaying, startTicking, theme, traces, wanted } from './store.ts'
import { startStream } from './stream.ts'
import { language, word } from './words.ts'

const TOKEN = 'holdfast.token'
const SETTLE_MS = 300

/** A browser may forbid a page from disk to keep anything. */
const keep = (token: string | null): string => {
  try {
    if (token !== null) sessionStorage.setItem(TOKEN, token)
    return token ?? sessionStorage.getItem(TOKEN) ?? ''
  } catch {
    return token ?? ''
  }
}

const readAddress = (): string => {
  const address = new URLSearchParams(location.hash.slice(1))
  wanted.link = address.get('link')
  const at = Number(address.get('t') ?? Number.NaN)
  wanted.moment = Number.isFinite(at) ? at : null
  return keep(address.get('token'))
}

/** The address names the link and the moment, so that it can be sent to somebody; the token is taken out of it. */
const writeAddress = () => {
  const address = new URLSearchParams()
  const [first] = traces.value
  if (first) address.set('t', String(Math.round(moment.value - first.begin)))
  else if (wanted.moment !== null) address.set('t', String(wanted.moment))
  const link = chosen.value?.id ?? wanted.link
  if (link) address.set('link', link)
  history.replaceState(null, '', `#${address}`)
}

const takeFiles = () => {
  document.addEventListener('dragover', (event) => {
    event.preventDefault()
    document.body.classList.add('over')
  })
  document.addEventListener('dragleave', () => document.body.classList.remove('over'))
  document.addEventListener('drop', async (event) => {
    event.preventDefault()
    document.body.classList.remove('over')
    const [first, second] = event.dataTransfer?.files ?? []
    if (!first) return
    await openFile(first)
    if (second) await openFile(second, true)
  })
}

const token = readAddress()
writeAddress()

let settle: number | undefined
effect(() => {
  chosen.value
  moment.value
  clearTimeout(settle)
  settle = setTimeout(writeAddress, SETTLE_MS) as unknown as number
})
effect(() => {
  document.documentElement.lang = language.value === 'zh' ? 'zh-CN' : 'en'
  document.documentElement.dataset.theme = isDark.value ? 'dark' : 'light'
  document.title = `holdfast${replaying.value ? ` ${word('trace')}` : ''}`
})

remember('theme', theme)
remember('language', language)
takeFiles()
listenToKeys()
startTicking()
render(<App />, document.getElementById('page')!)
if (location.protocol.startsWith('http')) startStream(token)
