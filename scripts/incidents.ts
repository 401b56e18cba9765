/** docs/incidents.md: what happened in five real systems, and the same with links, played and drawn. */
import { sequenceOf } from '../src/diagram/sequence.ts'
import { type Story, stories } from './incidents/stories.ts'

interface Chapter {
  readonly title: string
  readonly happened: string
  readonly link: string
  readonly story: () => Promise<Story>
}

const chapters: readonly Chapter[] = [
  {
    title: '1. IPv4 slow, IPv6 without a route',
    happened: `A Koishi bot in a dual-stack container could not reach Telegram, although curl could: Node gave the slow IPv4
connection up after 250 ms and was left with an IPv6 address that no route led to. The adapter asked once, never again, and
its status stayed at "connecting" for good.`,
    link: `A link leaves the slow attempt alone until the deadline of the whole dial. When that passes, the fault carries the
dialer's account of every address, and the slow network tells the story, not the missing route; the next dial comes by
itself. Here IPv4 answers after a second on the second dial. What the addresses do is scripted; that the dialer deals so
with real sockets is proved in \`test/net/incident-1.test.ts\`.`,
    story: stories.slowAndUnreachable,
  },
  {
    title: '2. The event loop stalls, and one leg fails',
    happened: `A bridge between NapCat and MaiMBot did not get a turn for 100 s, and took the gap for a peer that was gone. A
send on its other, really broken leg then threw, which ended the process and the healthy leg with it.`,
    link: `After the stall the link to NapCat asks once and gets its answer: it never leaves \`live\`. The leg that the core
had closed meanwhile dials again; a message for it waits and is delivered, one that cannot be encoded is refused, and
neither throws nor touches a connection.`,
    story: stories.stalledLoop,
  },
  {
    title: '3. Dropped before the first registration',
    happened: `Lagrange.OneBot started its services only if the account came online for the reason "login". When the socket
was lost before the first login, the reason was "reconnect": the account worked and its services never started.`,
    link: `A link that loses an endpoint during the handshake tries the next one within a second. \`ready()\` looks at the
state and not at the way to it, so what depends on it starts when the link is live, and a later reconnect does not start it
again.`,
    story: stories.droppedBeforeRegistration,
  },
  {
    title: '4. Credentials that have expired',
    happened: `A WeChat bot that had to be logged in by a person reported the expired QR code as an error, asked for the next
one and let that expire as well, 1,328 times. Its health page answered HTTP 200 all the while.`,
    link: `A link asks the provider of its token once more, and says that the last one was rejected. The second rejection in a
row parks it: one notice, no dial in the ten minutes that follow, and the way out is \`resume()\`.`,
    story: stories.expiredCredentials,
  },
  {
    title: '5. The registry has no address',
    happened: `OpenIM's services lost their leases in etcd during a stall and did not register again. Their callers found no
address, and reported the refusal of the last one that they had known.`,
    link: `That there is no address is no failure to connect: the link stays in \`resolving\`, and after a second makes do with
the last known one. It goes on listening, and dials a new address in the moment in which it is registered.`,
    story: stories.emptyEndpointList,
  },
]

export const incidentsPage = async (): Promise<string> => {
  const written = []
  for (const chapter of chapters) written.push(await chapterText(chapter))
  return `# Five incidents

What went wrong in five real bot systems, and what a link does in the same place. Each picture is drawn from the
[trace](trace.md) of a run: real links on a network that does what the incident's network did, in virtual time, so it is
the same run every time. Times are seconds since the start; what stands over a link is the state that it went to.

${written.join('\n')}`
}

const chapterText = async ({ title, happened, link, story }: Chapter): Promise<string> => {
  const { journal, names } = await story()
  return `## ${title}

${happened}

${link}

\`\`\`mermaid
${sequenceOf(await journal.read(), names).trimEnd()}
\`\`\`
`
}
