/** A layer in lines for people: facts only; what they mean is the diagnosis's to say. */
import { faults } from '../../machines/fault.ts'
import type { Language } from '../explain.ts'
import type { DialersLayer } from './dialers.ts'
import type { DnsLayer, Question } from './dns.ts'
import type { HandshakeLayer } from './handshake.ts'
import type { HeartbeatsLayer } from './heartbeats.ts'
import type { Examined, Layer, LayerName } from './layers.ts'
import type { ProxyLayer } from './proxy.ts'
import { SKEW_MIN_MS } from './skew.ts'
import type { TcpLayer } from './tcp.ts'
import { NO_ANSWER } from './time.ts'
import type { TlsLayer } from './tls.ts'
import type { UpgradeLayer } from './upgrade.ts'
import { day, duration, span } from './words.ts'

const TITLES: Record<LayerName, [en: string, zh: string]> = {
  dns: ['DNS', 'DNS'],
  tcp: ['TCP', 'TCP'],
  dialers: ['dialers', '拨号方式'],
  proxy: ['proxy', '代理'],
  tls: ['TLS', 'TLS'],
  upgrade: ['upgrade', '升级'],
  handshake: ['handshake', '握手'],
  heartbeats: ['heartbeats', '心跳'],
}

export const titleOf = (name: LayerName, language: Language): string => TITLES[name][language === 'zh' ? 1 : 0]

type Say = (en: string, zh: string) => string

/** One line at least. */
export const linesOf = (layer: Layer, language: Language): string[] => {
  const say: Say = language === 'zh' ? (_en, zh) => zh : (en) => en
  if (layer.ok !== null) return linesOfKnown(layer, say)
  const why: Record<typeof layer.skipped, string> = {
    'not-reached': say('not reached', '未到达'),
    'not-needed': say('not needed', '不需要'),
    'not-asked': say('no adapter named (--adapter)', '未指定适配器（--adapter）'),
  }
  return [why[layer.skipped]]
}

const linesOfKnown = (layer: Examined, say: Say): string[] => {
  switch (layer.name) {
    case 'dns':
      return dnsLines(layer, say)
    case 'tcp':
      return tcpLines(layer, say)
    case 'dialers':
      return dialersLines(layer, say)
    case 'proxy':
      return proxyLines(layer, say)
    case 'tls':
      return tlsLines(layer, say)
    case 'upgrade':
      return upgradeLines(layer, say)
    case 'handshake':
      return handshakeLines(layer, say)
    case 'heartbeats':
      return heartbeatsLines(layer, say)
  }
}

/** `after 5.00 s`, and what it was. */
const coded = (code: string | null, ms: number, say: Say): string => {
  const what = code === NO_ANSWER ? say('no answer', '无应答') : (code ?? say('open', '已连接'))
  return say(`${what} after ${duration(ms)}`, `${duration(ms)} 后${/^[\x20-\x7e]/.test(what) ? ' ' : ''}${what}`)
}

const dnsLines = (layer: DnsLayer, say: Say): string[] => {
  if (layer.literal) return [say(`${layer.host} is an address: nothing to ask`, `${layer.host} 已是地址，无需查询`)]
  const line = (title: string, asked: Question | null) => {
    if (!asked) return []
    const none = /^(ENOTFOUND|ENODATA)$/.test(asked.code ?? '') ? say('none', '无') : ''
    const answer = asked.addresses.join(', ') || none
    if (answer === '' || asked.code === NO_ANSWER) return [`${title} ${coded(asked.code, asked.ms, say)}`]
    return [`${title} ${answer}  ${duration(asked.ms)}`]
  }
  return [
    ...line('A    ', layer.a),
    ...line('AAAA ', layer.aaaa),
    ...line(say("in the system's order:", '系统给出的顺序：'), layer.order),
  ]
}

const tcpLines = ({ paths, port, left }: TcpLayer, say: Say): string[] => [
  ...paths.map(({ address, family, code, ms }) => {
    const at = family === 6 ? `[${address}]:${port}` : `${address}:${port}`
    return `${at}  ${coded(code, ms, say)}`
  }),
  ...(left > 0 ? [say(`${left} more addresses were left alone`, `另有 ${left} 个地址未测试`)] : []),
]

const dialersLines = ({ node, holdfast }: DialersLayer, say: Say): string[] => {
  const attempts = node.attempts.map(({ address, code }) => `${code} ${address}`).join(', ')
  const nodes = node.ok
    ? reached(node.address, node.ms, say)
    : `${coded(node.code, node.ms, say)}${attempts && ` (${attempts})`}`
  const ours = holdfast.fault
    ? say(
        `${faults[holdfast.fault.code].because.en} (${holdfast.fault.detail ?? holdfast.fault.code})`,
        `${faults[holdfast.fault.code].because.zh}（${holdfast.fault.detail ?? holdfast.fault.code}）`,
      )
    : reached(holdfast.address, holdfast.ms, say)
  return [`${say("Node's default:", 'Node 默认：')} ${nodes}`, `holdfast: ${ours}`]
}

const reached = (address: string | null, ms: number, say: Say): string =>
  say(`connected to ${address} after ${duration(ms)}`, `${duration(ms)} 后连上 ${address}`)

const proxyLines = ({ proxy, kind, ok, fault }: ProxyLayer, say: Say): string[] => {
  const name = proxy === null ? say('cannot be used', '无法使用') : `${kind} ${proxy}`
  if (ok) return [say(`${name} opens a tunnel`, `${name} 已打通隧道`)]
  return [`${name}: ${fault?.detail ?? fault?.code}`]
}

const tlsLines = (layer: TlsLayer, say: Say): string[] => {
  const { protocol, chain, daysLeft, hostMatches, problem, code, skewMs } = layer
  const verdict =
    problem === null ? say('trusted', '受信任') : `${problem}${code && code !== problem ? ` (${code})` : ''}`
  const host =
    hostMatches === null ? [] : [hostMatches ? say('host matches', '主机名相符') : say('wrong host', '主机名不符')]
  const life = daysLeft === null ? [] : [say(`${daysLeft} days left`, `剩余 ${daysLeft} 天`)]
  return [
    [protocol, verdict, ...host, ...life].filter(Boolean).join(' · '),
    ...chain.map(({ subject, issuer, validFrom, validTo }) =>
      say(
        `${subject}, by ${issuer}, ${day(validFrom)} to ${day(validTo)}`,
        `${subject}，签发者 ${issuer}，${day(validFrom)} 至 ${day(validTo)}`,
      ),
    ),
    ...skewLines(skewMs, say),
  ]
}

const upgradeLines = (layer: UpgradeLayer, say: Say): string[] => {
  const { status, retryAfterMs, subprotocol, location, page, skewMs, fault } = layer
  const said = [
    status === null ? (fault?.detail ?? fault?.code ?? '') : `HTTP ${status}`,
    page ? say('a web page', '网页') : '',
    retryAfterMs === null ? '' : `Retry-After ${duration(retryAfterMs)}`,
    subprotocol === null ? '' : say(`subprotocol ${subprotocol}`, `子协议 ${subprotocol}`),
    location ?? '',
  ]
  return [said.filter(Boolean).join(' · '), ...skewLines(skewMs, say)]
}

const skewLines = (skewMs: number | null, say: Say): string[] => {
  if (skewMs === null || Math.abs(skewMs) <= SKEW_MIN_MS) return []
  const much = span(skewMs)
  return skewMs > 0
    ? [say(`our clock is ${much} ahead of the peer's`, `本机时钟比对端快 ${much}`)]
    : [say(`our clock is ${much} behind the peer's`, `本机时钟比对端慢 ${much}`)]
}

const handshakeLines = ({ adapter, state, fault }: HandshakeLayer, say: Say): string[] => {
  if (!fault) return [`${adapter} · ${state}`]
  const because = say(faults[fault.code].because.en, faults[fault.code].because.zh)
  return [`${adapter} · ${state} · ${because}${fault.detail ? ` (${fault.detail})` : ''}`]
}

const heartbeatsLines = ({ kind, roundTripsMs, unanswered, fault }: HeartbeatsLayer, say: Say): string[] => {
  const way = kind === 'ping' ? 'WebSocket ping' : say("the adapter's probe", '适配器探测')
  const times = roundTripsMs.map(duration).join(', ')
  const lost = unanswered > 0 ? say(`${unanswered} unanswered`, `${unanswered} 次无应答`) : ''
  const end = fault ? (fault.detail ?? fault.code) : ''
  return [[way, times, lost, end].filter(Boolean).join(' · ')]
}
