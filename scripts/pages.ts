/** The pages of docs/ that are written by `npm run docs`: everything in them that can be read from the code, is. */
import { join } from 'node:path'
import { breakerDeadlines, WINDOW_MAX } from '../machines/breaker.ts'
import { curves, deadlines, RETRY_AFTER_MAX_MS } from '../machines/delay.ts'
import { faults, type Text } from '../machines/fault.ts'
import { ASIDE_MS, DRIFT, leaseTimes } from '../machines/lease.ts'
import { serviceDeadlines } from '../machines/service.ts'
import { builtIns } from '../src/diagram/built-in.ts'
import { kindWords, sideWords } from '../src/diagram/fault-words.ts'
import { mermaidOf } from '../src/diagram/mermaid.ts'
import { type Chart, chartOf, duration, edgesOf } from '../src/diagram/model.ts'
import { svgOf } from '../src/diagram/svg.ts'
import { deadlineTable, faultTable, markdownTable, stateTable } from '../src/diagram/table.ts'
import type { Language } from '../src/explain.ts'
import { curveTable } from './curves.ts'
import { incidentsPage } from './incidents.ts'
import { networkPage } from './network.ts'

/** Path in the repository -> text. `root` is where the source is read. */
export const pages = async (root = join(import.meta.dirname, '..')): Promise<Record<string, string>> => ({
  ...machinePages(),
  'docs/faults.md': faultsPage(),
  'docs/network.md': networkPage(root),
  'docs/incidents.md': `${generated}\n\n${await incidentsPage()}`,
})

const generated = '<!-- Written by `npm run docs`. Change the machines, not this page. -->'

/** What is said of a machine besides what its chart says. */
interface Account {
  readonly title: string
  /** What it is, and what it promises. */
  readonly about: string
  /** What the picture shows, for whoever does not see it. */
  readonly picture: string
  /** How the waits are worked out. */
  readonly waits: string
}

const machinePages = (): Record<string, string> =>
  Object.fromEntries(
    [...builtIns].flatMap(([name, { machine, layout }]) => {
      const chart = chartOf(machine)
      return [
        [`docs/${name}.svg`, svgOf(chart, layout!)],
        [`docs/${name}.md`, machinePage(name, chart, accounts[name]!(chart))],
      ]
    }),
  )

const machinePage = (name: string, chart: Chart, { title, about, picture, waits }: Account): string => `${generated}

# ${title}

${about}

![${picture}](${name}.svg)

The same as text that Markdown readers draw:

\`\`\`mermaid
${mermaidOf(chart).trimEnd()}
\`\`\`

## States

An event that a state does not name is looked up in the states around it, and at last in the row of any state. If none
names it, it changes nothing. A name in brackets is a condition; the first row that fits is taken.

${stateTable(chart)}

## Deadlines

${deadlineTable(chart)}

${waits}
`

const statesOf = (chart: Chart): number => chart.states.filter(({ initial }) => initial === null).length

const sizeOf = (chart: Chart): string => `${statesOf(chart)} states and ${edgesOf(chart).length} arrows`

const accounts: Record<string, (chart: Chart) => Account> = {
  link: (chart) => ({
    title: 'The life of one link',
    about: `A link is one bot's connection. Its whole life is one chart, \`machines/link.ts\`: ${statesOf(chart)} states, the two parts of
\`degraded\` told apart, and ${edgesOf(chart).length} arrows. This page is drawn from it, so the two cannot disagree.

Whatever happens, a link is either on a deadline, watched by its heartbeat, or openly waiting for a person. The table
says for each state which of the three it is. Nesting means one thing only, the life of a resource: \`attached\` is the
life of one transport, \`session\` is the time in which the peer knows us. Leaving a frame ends what runs in it.`,
    picture: 'The states of a link and the arrows between them',
    waits: `\`backoffDelay\` is worked out from the id of the link, the dials spent so far and the last fault. Each dial doubles the
wait from the base up to the cap, and a hash of the id takes off a part of it, down to the floor, so that no two links
march in step. A delay that the peer asked for is a minimum (believed up to ${duration(RETRY_AFTER_MAX_MS)}), plus up to 10 %. Spent dials are
forgiven after ${duration(deadlines.provenAfter)} in \`live\`.

${curveTable()}`,
  }),

  breaker: (chart) => ({
    title: 'The health of one endpoint',
    about: `All links of one process that dial the same host and port share one chart, \`machines/breaker.ts\`:
${sizeOf(chart)}. This page is drawn from it. When a peer goes down it takes all of its links with it; so one link at a time,
the *scout*, dials for all, and when it gets through the others are invited: one at first, and up to twice as many under
way with each that succeeds, ${WINDOW_MAX} at most.

Which link is the scout, and who is invited next, is the governor's business, \`src/governor.ts\`. It also keeps the budgets
of which [the rules](rules.md) speak, and lets nobody go whom the peer told to wait until that time has passed. The chart says when: every state but \`closed\` is on a deadline, and \`closed\` asks
nothing of anybody.`,
    picture: "The states of an endpoint's health and the arrows between them",
    waits: `\`scoutDelay\` is worked out as a link works out its own wait, by the [curves](link.md#deadlines) of the last fault, from the
scouts spent so far; it is longer when the budget of failed dials is used up. Spent scouts are forgiven after ${duration(breakerDeadlines.provenAfter)} in
\`closed\`.`,
  }),

  service: (chart) => ({
    title: 'What depends on a link',
    about: `An HTTP server, a job: something that is of use only while the bot is connected. Each has a chart of its own,
\`machines/service.ts\`: ${sizeOf(chart)}. This page is drawn from it; how to use it is told in
[health.md](health.md).

It is driven by the state of the link, never by the reason of a change. There is one way to a start: out of \`waiting\`, when the
link has been live for its stable time. Every retry goes that way too, so nothing is started while the link is away. And
whoever leaves \`active\` without the instance's own word that it is over comes by a state that ends it, so there is one instance
at a time.

Two things are declared: whether it stays up or stops when the link is lost (\`stopsWithLink\`), and after how many failures in a row it
parks (\`retriesUsedUp\`; by default never).`,
    picture: 'The states of a service and the arrows between them',
    waits: `\`startDelay\` is worked out by the [curves](link.md#deadlines) of a link from the failures in a row: 1, 2, 4, 8, 16, then 32 s, less the
jitter, and longer if the error asks for more. Failures are forgiven after ${duration(serviceDeadlines.provenAfter)} in \`running\`.`,
  }),

  lease: (chart) => ({
    title: 'Who owns a link',
    about: `Several processes may be ready to run the same bot; one of them at a time holds its link. Each has a chart of its own,
\`machines/lease.ts\`: ${sizeOf(chart)}. This page is drawn from it; how to use it, which stores there are, and what is
promised and what is not, is told in [fleet.md](fleet.md).

A lease is ownership for a time: a record in a store that all of them share. Whoever writes it says which version he has
seen, so of two who want it one gets it. No process trusts the clock of another, nor that of the store. The owner counts from
*before* it asked, and gives up by itself; whoever stands by counts from *after* it saw the record change, and waits longer.
So whoever takes over is later than whoever gives up, as long as their clocks run equally fast within ${DRIFT * 100} % and the store
keeps what it accepted: two processes own a link at once only if one of them is frozen past its time
([the rules](rules.md#the-lease)). If the store cannot be reached, the bot is silent rather than there twice.

\`owned\` is the life of the link, exactly: entering makes it, leaving cuts it at once. Every state is on a deadline, so no
answer of the store has to come for it to go on, and nothing waits for a person.`,
    picture: 'The states of a lease and the arrows between them',
    waits: `A grant lasts ${duration(leaseTimes.ttlMs)}. Its owner gives up ${duration(leaseTimes.marginMs)} before the end: \`fenceDelay\` is counted from before it last asked, in all
three parts of \`owned\`. \`takeoverDelay\` is the whole grant and ${DRIFT * 100} % for the clocks, and a grace where the platform needs one
(by default ${leaseTimes.graceMs === 0 ? 'none' : duration(leaseTimes.graceMs)}); it is counted from when the record was seen to change, by the times that the record names.

\`storeDelay\` grows with the failures in a row from ${duration(curves.dropped.baseMs)} to ${duration(curves.dropped.capMs)}, less the jitter, by the [curve](link.md#deadlines) \`dropped\`.
\`asideDelay\` is ${duration(ASIDE_MS)} and, by the curve \`costly\`, ${duration(curves.costly.baseMs)} to ${duration(curves.costly.capMs)} more. A renewal forgives what has failed, and so does the
sight of another owner.`,
  }),
}

const faultsPage = (): string => `${generated}

# Faults · 故障

[English](#english) · [中文](#中文)

## English

Everything that can go wrong with a link has one of these ${Object.keys(faults).length} codes. The kind decides what the link does next, the side
says who has to change something.

${wordTable(['kind', 'meaning'], kindWords, 'en')}

${wordTable(['side', 'who'], sideWords, 'en')}

${faultTable('en')}

## 中文

连接可能出现的每一种问题都对应下列 ${Object.keys(faults).length} 个代码之一。类别决定连接接下来怎么做，责任方说明应由谁来更改。

${wordTable(['类别', '含义'], kindWords, 'zh')}

${wordTable(['责任方', '说明'], sideWords, 'zh')}

${faultTable('zh')}
`

const wordTable = (head: string[], words: Record<string, Text>, language: Language): string =>
  markdownTable(
    head,
    Object.entries(words).map(([name, texts]) => [`\`${name}\``, texts[language]]),
  )
