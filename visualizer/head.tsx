/** The top of the page: which process, how it is, and how the page looks. */
import { reasonText } from './reason.ts'
import { OpenTrace } from './replay.tsx'
import { aggregate, connection, fleet, helpOpen, replaying, source, tenth, theme, themes, wanted } from './store.ts'
import { counted, fill, language, lasting, word } from './words.ts'

const CAUSES_MAX = 3

export const Head = () => {
  const hello = fleet.value?.hello
  return (
    <header>
      <h1>holdfast</h1>
      {hello && <span class="quiet">{hello.version}</span>}
      {source.value && !replaying.value && <Totals />}
      <span class="grow" />
      <OpenTrace />
      <button type="button" class="small" id="theme" onClick={nextTheme}>
        {word('theme')}: {word(theme.value)}
      </button>
      <button
        type="button"
        class="small"
        id="language"
        lang={language.value === 'zh' ? 'en' : 'zh-CN'}
        onClick={() => (language.value = language.value === 'zh' ? 'en' : 'zh')}
      >
        {word('language')}
      </button>
      <button type="button" class="small" id="help" onClick={() => (helpOpen.value = true)}>
        {word('help')} ?
      </button>
    </header>
  )
}

const nextTheme = () => {
  theme.value = themes[(themes.indexOf(theme.value) + 1) % themes.length]!
}

const Totals = () => {
  const agg = aggregate.value
  const hello = fleet.value?.hello
  if (!agg || !hello) return null
  const causes = agg.causes
    .slice(0, CAUSES_MAX)
    .map(([fault, count]) => ({ code: hello.faults[fault]?.code ?? '?', count }))
  return (
    <span class="totals" id="totals">
      {counted(
        agg.counts.reduce((sum, count) => sum + count, 0),
        'links',
      )}{' '}
      · {counted(agg.rate, 'perSecond')}
      {causes.length > 0 && <span class="quiet"> · {word('causesLately')}</span>}
      {causes.map(({ code, count }) => (
        <span key={code} class="cause" title={`${word('causes')}: ${reasonText(code, language.value)}`}>
          {code} ×{count}
        </span>
      ))}
    </span>
  )
}

/** What is wrong with the connection to the process, if something is. A view that is old says how old. */
export const Banner = () => {
  const now = connection.value
  if (replaying.value) return null
  if (now.phase === 'open') return null
  if (now.phase === 'none') return <Invitation />
  // what counts down is not read out ten times a second
  return (
    <p class="banner" id="banner" role={now.phase === 'stale' ? undefined : 'status'}>
      {now.phase === 'stale' ? <Stale /> : word(now.phase)}
    </p>
  )
}

const Invitation = () => (
  <p class="banner" id="banner">
    {wanted.moment === null ? word('dropHere') : fill('dropHereFor', wanted.link ?? '?', `+${lasting(wanted.moment)}`)}
  </p>
)

const Stale = () => {
  tenth.value
  const now = connection.value
  if (now.phase !== 'stale') return null
  return (
    <>
      {fill('stale', lasting(performance.now() - now.since), lasting(now.againAt - performance.now()))}
      <span class="hidden" role="status">
        {word('waiting')}
      </span>
    </>
  )
}
