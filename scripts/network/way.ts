/** The way of one attempt: targets, names, addresses, proxies, and the choice among several endpoints. */
import type { Numbers } from '../numbers.ts'

const DIAL = 'src/net/dial.ts'
const PATHS = 'src/net/paths.ts'
const RESOLVE = 'src/net/resolve.ts'
const SEARCH = 'src/net/search.ts'
const DISCOVER = 'src/net/discover.ts'
const ENDPOINTS = 'src/net/endpoints.ts'

export const targets = (numbers: Numbers): string => `## Targets

An adapter's \`target\` gives one target, a list of them (the best first), or an Observable of either. It is asked on every
attempt. An empty list means "none for the moment": the link stays in \`resolving\`, and that is no fault.

${numbers.table([
  ['a provider that gave none is asked again after', DISCOVER, 'POLL_MS'],
  ['that wait doubles up to', DISCOVER, 'POLL_MAX_MS'],
  ['the last known targets are used after', DISCOVER, 'LAST_KNOWN_MS'],
  ['targets that are read', DISCOVER, 'TARGETS_MAX'],
])}`

export const names = (numbers: Numbers): string => `## Names

Names are asked of the system (\`getaddrinfo\`), so \`/etc/hosts\`, \`nsswitch.conf\` and its order of addresses count. All
links of a process share one answer. Addresses need no lookup.

1. Both families are asked for in one question. Without an answer after ${numbers.show(SEARCH, 'RESCUE_MS')}, IPv4 is asked for alone beside it: an
   AAAA question that nobody answers would hold the whole answer back for many seconds.
2. IPv4 that comes first waits ${numbers.show(SEARCH, 'RESOLUTION_DELAY_MS')} for the rest (RFC 8305, section 3). What comes later still joins the dial
   that is under way.
3. Without any answer after ${numbers.show(SEARCH, 'STALE_MS')}, or when the DNS fails, the last good addresses are used. If they lead nowhere
   the fault is \`name-unavailable\`. A name that does not exist is a fault at once.
4. Addresses that led nowhere are not taken from the cache: the next attempt asks anew.

The system's lookups cannot be called off, and libuv lets half of its threads do them: two in a process with the usual
four. So ours take two places at most, one for whole answers and one for IPv4 alone, and queue for them.

${numbers.table([
  ['an answer is fresh for', RESOLVE, 'FRESH_MS'],
  ['IPv4 is asked for alone after', SEARCH, 'RESCUE_MS'],
  ['IPv4 waits for IPv6', SEARCH, 'RESOLUTION_DELAY_MS'],
  ['addresses of the past are used after', SEARCH, 'STALE_MS'],
  ['and up to an age of', RESOLVE, 'GOOD_MS'],
  ['a link waits for the first address', SEARCH, 'RESOLVE_MS'],
  ['addresses of one name', SEARCH, 'ADDRESSES_MAX'],
  ['names remembered', RESOLVE, 'HOSTS_MAX'],
])}

The option \`dns: { servers: ['1.1.1.1'] }\` asks these servers in place of the system: A and AAAA at the same time, without
\`/etc/hosts\`. The option \`lookup\` is a resolver of your own, \`(host, family?) => addresses\`; without the second
parameter it is never asked for IPv4 alone.`

export const dialing = (numbers: Numbers): string => `## Dialing

Happy Eyeballs, RFC 8305. Attempts start one after another and run side by side, until one of them has come through TLS
(and through the proxy, if there is one). An attempt is not ended because the next one starts: that is what Node's own
\`autoSelectFamily\` does, and why it fails where IPv6 is dead and IPv4 is slow.

1. First the address that won last time; else the resolver's first. Then the families in turn. Addresses that failed
   lately come last.
2. The next attempt starts when one fails, or after ${numbers.show(PATHS, 'ATTEMPT_DELAY_MS')} without a connection. For the address that won last time
   it is ${numbers.show(PATHS, 'PATIENCE')} times as long as it took then, from ${numbers.show(PATHS, 'ATTEMPT_DELAY_MS')} to ${numbers.show(PATHS, 'ATTEMPT_DELAY_MAX_MS')}.
3. Once TCP stands on one address and TLS or a proxy's answer is still to come, the next attempt waits ${numbers.show(DIAL, 'LAYERS_DELAY_MS')}.
4. When all known addresses have failed and the resolver still searches, the dial waits ${numbers.show(DIAL, 'LATE_ANSWER_MS')} for what it may find.

${numbers.table([
  ['addresses tried in a dial', DIAL, 'ADDRESSES_MAX'],
  ['attempts at the same time', DIAL, 'IN_FLIGHT_MAX'],
  ['between two attempts', PATHS, 'ATTEMPT_DELAY_MS'],
  ['the same once TCP stands on one', DIAL, 'LAYERS_DELAY_MS'],
  ['wait for late answers of the DNS', DIAL, 'LATE_ANSWER_MS'],
  ['winners and dead addresses are remembered for', PATHS, 'REMEMBERED_MS'],
  ['TCP keepalive, on idle sockets', 'src/net/attempt.ts', 'TCP_KEEPALIVE_MS'],
])}

What is remembered belongs to \`host:port\`, is shared by the links of a process, and is forgotten when the network
changes. The certificate has to name the host of the URL; \`tls: { ca, cert, key }\` of the target is for authorities and
certificates of your own.`

export const proxies = (): string => `## Proxies

The option \`proxy\` decides alone: a URL means this proxy, also for loopback and for what \`NO_PROXY\` names; \`false\` means
none. Without the option the environment decides:

| variable | it is for |
| --- | --- |
| \`HTTPS_PROXY\` | \`wss://\` and \`https://\` |
| \`HTTP_PROXY\` | \`ws://\` and \`http://\` |
| \`ALL_PROXY\` | both, where the one above is not set; \`tcp://\` and \`tls://\` by this one alone |
| \`NO_PROXY\` | what goes direct: \`example.org\` (and all below it), \`10.0.0.0/8\`, \`host:port\`, \`*\` |

Names in lower case come first. Loopback never goes through a proxy of the environment. Kinds are \`http://\`, \`https://\`
and \`socks5://\` (also \`socks5h://\` and \`socks://\`); a text without a scheme is an HTTP proxy. SOCKS5 needs the package
\`socks\` (\`npm install socks\`). User and password stand in the URL and are never shown.

The proxy's own name is looked up here, the peer's name by the proxy. Requests beside the link (Satori's calls) take the
same way. A proxy that answers 407 parks the link (\`upgrade-unauthorized\`); its other answers are faults like those of the
peer, and their detail begins with \`proxy host:port\`.`

export const endpoints = (numbers: Numbers): string => `## Several endpoints

Where an adapter names several targets, the link dials the best one:

1. those that connect, the fastest first;
2. those never measured, in the order given;
3. those that failed, the longest ago first. A failure is a class and no number, so that none is ever sorted as "0 ms".

What is measured is the time of a TCP connect to the real port, smoothed. The one that welcomed us is kept until another
is better by both ${numbers.show(ENDPOINTS, 'BETTER_BY_MS')} and ${numbers.show(ENDPOINTS, 'BETTER_BY_PART')}. With an untried one left, a failure leads to it within ${numbers.show('src/choice.ts', 'NEXT_ENDPOINT_MS')}, without backoff;
when all have failed once, the link backs off.

${numbers.table([
  ['a failure counts for', ENDPOINTS, 'FAILURE_LASTS_MS'],
  ['weight of a new measurement', ENDPOINTS, 'SMOOTHING'],
  ['endpoints ranked', ENDPOINTS, 'ENDPOINTS_MAX'],
])}`
