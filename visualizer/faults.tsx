/** Breaks the lab's own peer on order, and shows what became of orders. */

import { reasonText } from './reason.ts'
import { answers, fleet, orders, replaying } from './store.ts'
import { language, word } from './words.ts'

export const Faults = () => {
  const hello = fleet.value?.hello
  if (!hello?.control || replaying.value) return null
  return (
    <section aria-labelledby="faults-title">
      {hello.labFaults.length > 0 && <h2 id="faults-title">{word('faultPanel')}</h2>}
      <div class="orders" id="faults">
        {hello.labFaults.map((fault) => (
          <button
            type="button"
            key={fault}
            title={reasonText(fault, language.value)}
            onClick={() => orders.send?.('fault', { fault })}
          >
            {fault}
          </button>
        ))}
      </div>
      <ul id="answers" aria-live="polite">
        {answers.value.map(({ n, what, error }) => (
          <li key={n} class={error ? 'wrong' : ''}>
            {what}: {error === undefined ? '…' : error === null ? word('answered') : error}
          </li>
        ))}
      </ul>
    </section>
  )
}
