/** Breaks the lab's own peer on order, and shows what became of orders. */
import { faultDoes, faultWord, refusalWord } from './fault-words.ts'
import { answers, canOrder, choose, fleet, orders, replaying, version } from './store.ts'
import { fill, word } from './words.ts'

export const Faults = () => {
  const hello = fleet.value?.hello
  if (!hello?.control || replaying.value) return null
  const { labFaults, labLink } = hello
  version.value
  const struck = fleet.value?.links.find(({ id }) => id === labLink)
  const isLive = struck === undefined || struck.state === 'live'
  const isUnderWay = answers.value.some(({ isFault, error }) => isFault && error === undefined)
  const isOffered = canOrder.value && isLive && !isUnderWay
  /** Whoever breaks something wants to see it break. */
  const strike = (fault: string) => {
    if (!isOffered) return
    if (struck) choose(struck.index)
    orders.send?.('fault', { fault })
  }
  return (
    <section aria-labelledby="faults-title">
      {labFaults.length > 0 && (
        <>
          <h2 id="faults-title">{word('faultPanel')}</h2>
          {labLink !== undefined && (
            <p class="hint">{fill(isLive || isUnderWay ? 'lookAt' : 'lookAtLater', labLink)}</p>
          )}
          <div class="orders" id="faults">
            {labFaults.map((fault) => (
              <button
                type="button"
                key={fault}
                data-fault={fault}
                title={faultDoes(fault)}
                // it keeps the focus, which a disabled one would lose
                aria-disabled={!isOffered}
                onClick={() => strike(fault)}
              >
                {faultWord(fault)}
              </button>
            ))}
          </div>
        </>
      )}
      <ul id="answers" aria-live="polite">
        {answers.value.map(({ n, what, error }) => (
          <li key={n} class={error ? 'wrong' : ''}>
            {what}: {error === undefined ? word('underWay') : error === null ? word('answered') : refusalWord(error)}
          </li>
        ))}
      </ul>
    </section>
  )
}
