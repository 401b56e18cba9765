/** The pages of docs/ that are written by `npm run docs`: everything in them that can be read from the code, is. */
import { join } from 'node:path'
import { breakerDeadlines, breakerMachine, WINDOW_MAX } from '../machines/breaker.ts'
import { deadlines, RETRY_AFTER_MAX_MS } from '../machines/delay.ts'
import { faults, type Text } from '../machines/fault.ts'
import { linkMachine } from '../machines/link.ts'
import { serviceDeadlines, serviceMachine } from '../machines/service.ts'
import { breakerLayout } from '../src/diagram/breaker-layout.ts'
import { kindWords, sideWords } from '../src/diagram/fault-words.ts'
import { linkLayout } from '../src/diagram/link-layout.ts'
import { mermaidOf } from '../src/diagram/mermaid.ts'
import { chartOf, duration, edgesOf } from '../src/diagram/model.ts'
import { serviceLayout } from '../src/diagram/service-layout.ts'
import { svgOf } from '../src/diagram/svg.ts'
import { deadlineTable, faultTable, markdownTable, stateTable } from '../src/diagram/table.ts'
import type { Language } from '../src/explain.ts'
import { curveTable } from './curves.ts'
import { incidentsPage } from './incidents.ts'
import { networkPage } from './network.ts'

/** Path in the repository -> text. `root` is where the source is read. */
export const pages = async (root = join(import.meta.dirname, '..')): Promise<Record<string, string>> => {
  const chart = chartOf(linkMachine)
  return {
    'docs/link.svg': svgOf(chart, linkLayout),
    'docs/link.md': linkPage(),
    'docs/breaker.svg': svgOf(chartOf(breakerMachine), breakerLayout),
    'docs/breaker.md': breakerPage(),
    'docs/service.svg': svgOf(chartOf(serviceMachine), serviceLayout),
    'docs/service.md': servicePage(),
    'docs/faults.md': faultsPage(),
    'docs/network.md': networkPage(root),
    'docs/incidents.md': `${generated}\n\n${await incidentsPage()}`,
  }
}

const generated = '<!-- Written by `npm run docs`. Change the machines, not this page. -->'

const linkPage = (): string => {
  const chart = chartOf(linkMachine)
  const leaves = chart.states.filter(({ initial }) => initial === null)
  return `${generated}

# The life of one link

A link is one bot's connection. Its whole life is one chart, \`machines/link.ts\`: ${leaves.length} states, the two parts of
\`degraded\` told apart, and ${edgesOf(chart).length} arrows. This page is drawn from it, so the two cannot disagree.

Whatever happens, a link is either on a deadline, watched by its heartbeat, or openly waiting for a person. The table
says for each state which of the three it is. Nesting means one thing only, the life of a resource: \`attached\` is the
life of one transport, \`session\` is the time in which the peer knows us. Leaving a frame ends what runs in it.

![The states of a link and the arrows between them](link.svg)

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

\`backoffDelay\` is worked out from the id of the link, the dials spent so far and the last fault. Each dial doubles the
wait from the base up to the cap, and a hash of the id takes off a part of it, down to the floor, so that no two links
march in step. A delay that the peer asked for is a minimum (believed up to ${duration(RETRY_AFTER_MAX_MS)}), plus up to 10 %. Spent dials are
forgiven after ${duration(deadlines.provenAfter)} in \`live\`.

${curveTable()}
`
}

const breakerPage = (): string => {
  const chart = chartOf(breakerMachine)
  const states = chart.states.filter(({ parent }) => parent === '')
  return `${generated}

# The health of one endpoint

All links of one process that dial the same host and port share one chart, \`machines/breaker.ts\`: ${states.length} states and
${edgesOf(chart).length} arrows. This page is drawn from it. When a peer goes down it takes all of its links with it; so one link at a time,
the *scout*, dials for all, and when it gets through the others are invited: one at first, and up to twice as many under
way with each that succeeds, ${WINDOW_MAX} at most.

Which link is the scout, and who is invited next, is the governor's business, \`src/governor.ts\`. It also keeps the budgets
of which [the rules](rules.md) speak, and lets nobody go whom the peer told to wait until that time has passed. The chart says when: every state but \`closed\` is on a deadline, and \`closed\` asks
nothing of anybody.

![The states of an endpoint's health and the arrows between them](breaker.svg)

\`\`\`mermaid
${mermaidOf(chart).trimEnd()}
\`\`\`

## States

An event that a state does not name is looked up in the states around it, and at last in the row of any state. If none
names it, it changes nothing.

${stateTable(chart)}

## Deadlines

${deadlineTable(chart)}

\`scoutDelay\` is worked out as a link works out its own wait, by the [curves](link.md#deadlines) of the last fault, from the
scouts spent so far; it is longer when the budget of failed dials is used up. Spent scouts are forgiven after ${duration(breakerDeadlines.provenAfter)} in
\`closed\`.
`
}

const servicePage = (): string => {
  const chart = chartOf(serviceMachine)
  const leaves = chart.states.filter(({ initial }) => initial === null)
  return `${generated}

# What depends on a link

An HTTP server, a job: something that is of use only while the bot is connected. Each has a chart of its own,
\`machines/service.ts\`: ${leaves.length} states and ${edgesOf(chart).length} arrows. This page is drawn from it; how to use it is told in
[health.md](health.md).

It is driven by the state of the link, never by the reason of a change. There is one way to a start: out of \`waiting\`, when the
link has been live for its stable time. Every retry goes that way too, so nothing is started while the link is away. And
whoever leaves \`active\` without the instance's own word that it is over comes by a state that ends it, so there is one instance
at a time.

Two things are declared: whether it stays up or stops when the link is lost (\`stopsWithLink\`), and after how many failures in a row it
parks (\`retriesUsedUp\`; by default never).

![The states of a service and the arrows between them](service.svg)

\`\`\`mermaid
${mermaidOf(chart).trimEnd()}
\`\`\`

## States

An event that a state does not name is looked up in the states around it, and at last in the row of any state. If none
names it, it changes nothing. A name in brackets is a condition; the first row that fits is taken.

${stateTable(chart)}

## Deadlines

${deadlineTable(chart)}

\`startDelay\` is worked out by the [curves](link.md#deadlines) of a link from the failures in a row: 1, 2, 4, 8, 16, then 32 s, less the
jitter, and longer if the error asks for more. Failures are forgiven after ${duration(serviceDeadlines.provenAfter)} in \`running\`.
`
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
