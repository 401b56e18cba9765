/** Which links are shown and in what order. */

import { counts, filter, type Sort, sort, wantedStates } from './store.ts'
import { StateMark } from './why.tsx'
import { stateWord, word } from './words.ts'

const toggle = (state: string) => {
  const next = new Set(wantedStates.value)
  if (!next.delete(state)) next.add(state)
  wantedStates.value = next
}

const sorts = [
  ['state', 'sortState'],
  ['id', 'sortId'],
  ['for', 'sortFor'],
] as const

export const Filters = () => {
  const states = counts.value
  return (
    <div class="filters">
      <input
        type="search"
        id="filter"
        aria-label={word('filterLinks')}
        placeholder={`${word('filter')}  /`}
        value={filter.value}
        onInput={({ currentTarget }) => (filter.value = currentTarget.value)}
      />
      <label>
        {word('sort')}{' '}
        <select
          id="sort"
          value={sort.value}
          onChange={({ currentTarget }) => (sort.value = currentTarget.value as Sort)}
        >
          {sorts.map(([value, name]) => (
            <option key={value} value={value}>
              {word(name)}
            </option>
          ))}
        </select>
      </label>
      {/* biome-ignore lint/a11y/useSemanticElements: a fieldset is for what is filled in */}
      <div class="chips" role="group" aria-label={word('state')}>
        {[...states].map(([state, count]) => (
          <button
            type="button"
            class={count === 0 ? 'chip nobody' : 'chip'}
            key={state}
            aria-pressed={wantedStates.value.has(state)}
            onClick={() => toggle(state)}
          >
            <StateMark state={state} /> <span class="name">{stateWord(state)}</span> <b>{count}</b>
          </button>
        ))}
      </div>
    </div>
  )
}
