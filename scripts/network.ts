/** docs/network.md: how a link reaches its peer, for people who have to find out why it does not. */
import { type FaultCode, faults } from '../machines/fault.ts'
import { duration } from '../src/diagram/model.ts'
import { markdownTable } from '../src/diagram/table.ts'
import type { AttemptError } from '../src/net/attempt.ts'
import { DialError } from '../src/net/dial.ts'
import { checkOptions } from '../src/options.ts'
import { backoff, budget, governor, hints } from './network/waits.ts'
import { dialing, endpoints, names, proxies, targets } from './network/way.ts'
import { Numbers } from './numbers.ts'

/** `root` is where the source is read. */
export const networkPage = (root: string): string => {
  const numbers = new Numbers(root)
  const sections = [top, trouble, steps, targets, names, dialing, proxies, endpoints, backoff, governor, budget, hints]
  return `${[...sections, options].map((section) => section(numbers)).join('\n\n')}\n`
}

const top = (): string => `<!-- Written by \`npm run docs\`. Change scripts/network/ or the source, not this page. -->

# How a link finds and reaches its peer

For whoever wants to know why a link does not come up, why it waits, and what it does next. The page follows one attempt
from the adapter's target to the open WebSocket, and then the waits between attempts. The numbers are read from the source
when the page is written. The states are those of [link.md](link.md), the fault codes those of [faults.md](faults.md). To
have a way examined from outside, use [\`holdfast doctor\`](doctor.md).`

const trouble = (): string => `## When something is wrong

| ask | it says |
| --- | --- |
| \`link.explain().text\` | Where the link is, why, and by when it dials again at the latest. |
| \`link.status.fault\` | The code of the last fault, and in \`detail\` what was seen: addresses, system codes, milliseconds. |
| \`link.transitions$\`, \`link.recording\` | Every step with its reason; with \`dial.invited\`, who invited. |
| \`holdfast doctor <url>\` | Each layer by itself, and what Node's default would make of the same way. |

The detail of a dial that failed names each address with its family, its code, how long it took and how far it came:

    ${exampleOfDetail()}

Which section to read for a fault:

${faultTable()}`

/** Made by the dialer itself, so that it looks as a user will see it. */
const exampleOfDetail = (): string => {
  const failure = (address: string, family: 4 | 6, code: string, ms: number, step: 'tcp' | 'tls'): AttemptError =>
    Object.assign(new Error(code), { address, family, code, ms, step, port: 443 })
  const errors = [
    failure('2001:db8::1', 6, 'ENETUNREACH', 1, 'tcp'),
    failure('192.0.2.2', 4, 'ECONNRESET', 212, 'tls'),
    failure('192.0.2.1', 4, 'ETIMEDOUT', 9_730, 'tcp'),
  ]
  return new DialError(errors, {}).message
}

const PEER = "the peer's log; with a proxy, [Proxies](#proxies)"

const places: readonly (readonly [faults: readonly FaultCode[], section: string])[] = [
  [['name-not-found', 'name-unavailable'], '[Names](#names)'],
  [['resolve-timeout', 'provider-failed'], '[Targets](#targets), [Proxies](#proxies)'],
  [['refused', 'unreachable', 'connect-timeout'], '[Dialing](#dialing)'],
  [['dropped', 'tls-certificate', 'tls-failed', 'tls-timeout'], '[Dialing](#dialing), [Proxies](#proxies)'],
  [['upgrade-unauthorized', 'upgrade-forbidden', 'peer-unavailable'], PEER],
  [['throttled', 'try-later'], '[Backoff](#backoff)'],
]

const faultTable = (): string =>
  markdownTable(
    ['fault', 'because', 'read'],
    places.flatMap(([codes, section]) => codes.map((code) => [`\`${code}\``, faults[code].because.en, section])),
  )

const defaults = checkOptions({}, 'link').deadlines

const steps = (numbers: Numbers): string => `## The steps of one attempt

${markdownTable(
  ['state', 'step', 'deadline', 'option', 'fault when it is missed'],
  [
    ['`resolving`', 'target, choice, address', duration(defaults.resolveMs), '`resolveMs`', '`resolve-timeout`'],
    ['`connecting`', 'TCP, to the peer or its proxy', duration(defaults.connectMs), '`connectMs`', '`connect-timeout`'],
    ['`handshaking`', "the proxy's answer", duration(defaults.tlsMs), '`tlsMs`', '`connect-timeout`'],
    ['', 'TLS', duration(defaults.tlsMs), '`tlsMs`', '`tls-timeout`'],
    ['', 'WebSocket upgrade', duration(defaults.upgradeMs), '`upgradeMs`', '`upgrade-timeout`'],
    ['', 'all of these, and the welcome', duration(defaults.handshakeMs), '`handshakeMs`', '`handshake-timeout`'],
  ],
)}

Each deadline is absolute: a peer that drips a byte now and then does not stretch it. The dialer gives up ${numbers.show('src/transport/dialed.ts', 'LEAD_MS')} before
\`connectMs\`, so that its account of every address is told, and not only that time was up.`

const options = (): string => `## Options

Of \`connect(adapter, options)\`; \`src/options.ts\` has them all.

${markdownTable(
  ['option', 'default', 'what it is'],
  [
    ['`lookup`', "the system's", 'A resolver of your own.'],
    ['`dns.servers`', 'none', "DNS servers in place of the system's resolver."],
    ['`proxy`', 'the environment', 'The URL of a proxy, or `false`.'],
    ['`deadlines.resolveMs`', duration(defaults.resolveMs), "The adapter's target and the name."],
    ['`deadlines.connectMs`', duration(defaults.connectMs), 'TCP, on whatever address.'],
    ['`deadlines.tlsMs`', duration(defaults.tlsMs), "The TLS handshake, and a proxy's answer."],
    ['`deadlines.upgradeMs`', duration(defaults.upgradeMs), 'The answer to the upgrade.'],
    ['`deadlines.handshakeMs`', duration(defaults.handshakeMs), 'From the first TCP connection to the welcome.'],
    ['`deadlines.provenMs`', duration(defaults.provenMs), 'So long live that past dials are forgiven.'],
  ],
)}

Of the adapter's target: \`url\`, \`headers\`, \`protocols\`, \`tls\`; see [adapters.md](adapters.md).`
