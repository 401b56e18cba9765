/** What is wrong although everything works, each as a row; the deepest layer first. */
import type { Fault, Text } from '../../machines/fault.ts'
import { sentence } from '../error.ts'
import type { Known } from './layers.ts'
import { deadFamilyOf, whyNodeFails, whyNodeIsSlow } from './node-default.ts'
import type { Row } from './rows.ts'
import { SKEW_MIN_MS } from './skew.ts'
import { NO_ANSWER } from './time.ts'
import { day, duration, span } from './words.ts'

/** A heartbeat is slow if it takes so long, and the way to the peer does not explain it. */
const SLOW_BEAT_MS = 1_000
const SLOW_BEAT_BY = 2
const EXPIRES_DAYS = 14
const SLOW_DNS_MS = 1_000

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0

const heartbeatRows: readonly Row[] = [
  {
    code: 'heartbeats-slow',
    layer: 'heartbeats',
    says: ({ heartbeats, tcp }) => {
      if (!heartbeats?.ok) return undefined
      const ms = median(heartbeats.roundTripsMs)
      const wayMs = Math.min(...(tcp?.paths ?? []).filter(({ ok }) => ok).map((path) => path.ms))
      if (ms <= SLOW_BEAT_MS || ms <= SLOW_BEAT_BY * wayMs) return undefined
      return {
        en: `Everything works, but the peer takes ${duration(ms)} to answer a heartbeat. It is overloaded: look at its load and its log.`,
        zh: `一切正常，但对端需要 ${duration(ms)} 才应答心跳。对端过载：请查看其负载和日志。`,
      }
    },
  },
  {
    code: 'heartbeats-lossy',
    layer: 'heartbeats',
    says: ({ heartbeats }) => {
      if (!heartbeats?.ok || heartbeats.unanswered === 0) return undefined
      const all = heartbeats.unanswered + heartbeats.roundTripsMs.length
      return {
        en: `Everything works, but ${heartbeats.unanswered} of ${all} heartbeats went unanswered. The peer stalls, or the network loses packets: look at both.`,
        zh: `一切正常，但 ${all} 次心跳中有 ${heartbeats.unanswered} 次没有应答。对端卡顿或网络丢包：请检查两者。`,
      }
    },
  },
  // some peers say it only when they are asked, others with the welcome
  {
    code: 'account-impaired',
    layer: 'heartbeats',
    says: ({ handshake, heartbeats }) =>
      heartbeats?.ok && !handshake?.fault ? butImpaired(heartbeats.fault) : undefined,
  },
  {
    code: 'account-impaired',
    layer: 'handshake',
    says: ({ handshake }) => (handshake?.ok ? butImpaired(handshake.fault) : undefined),
  },
]

const butImpaired = (fault: Fault | null): Text | undefined =>
  fault
    ? {
        en: `The connection works, but ${sentence(fault, 'en')}`,
        zh: `连接正常，但${sentence(fault, 'zh')}`,
      }
    : undefined

const clockAndCertificateRows: readonly Row[] = [
  {
    code: 'clock-skew',
    layer: 'upgrade',
    says: ({ upgrade }) => {
      const skewMs = upgrade?.ok ? (upgrade.skewMs ?? 0) : 0
      if (Math.abs(skewMs) <= SKEW_MIN_MS) return undefined
      return {
        en: `Everything works, but this machine's clock is ${span(skewMs)} ${skewMs > 0 ? 'ahead of' : 'behind'} the peer's. Certificates and signed logins will fail: set the clock (NTP).`,
        zh: `一切正常，但本机时钟比对端${skewMs > 0 ? '快' : '慢'} ${span(skewMs)}。证书和签名登录将会失败：请校准时钟（NTP）。`,
      }
    },
  },
  {
    code: 'certificate-expiring',
    layer: 'tls',
    says: ({ tls }) => {
      if (!tls?.ok || tls.daysLeft === null || tls.daysLeft > EXPIRES_DAYS) return undefined
      const on = day(tls.chain[0]?.validTo ?? '?')
      return {
        en: `Everything works, but the peer's certificate expires in ${tls.daysLeft} days (${on}). Renew it before.`,
        zh: `一切正常，但对端证书将在 ${tls.daysLeft} 天后过期（${on}）。请提前续期。`,
      }
    },
  },
]

/** With a proxy neither Node's way nor that of a family is the way that a link takes. */
const ofPaths =
  (says: (evidence: Required<Pick<Known, 'dns' | 'tcp' | 'dialers'>>) => Text | undefined): Row['says'] =>
  ({ dns, tcp, dialers, proxy }) =>
    dns && tcp?.ok && dialers && !proxy ? says({ dns, tcp, dialers }) : undefined

const pathRows: readonly Row[] = [
  { code: 'node-default-fails', layer: 'dialers', says: ofPaths(whyNodeFails) },
  { code: 'node-default-slow', layer: 'dialers', says: ofPaths(whyNodeIsSlow) },
  {
    code: 'dial-unsteady',
    layer: 'dialers',
    says: ofPaths(({ dialers: { holdfast } }) =>
      holdfast.fault
        ? {
            en: `One dial failed and the next got through: ${sentence(holdfast.fault, 'en')}`,
            zh: `一次拨号失败，下一次成功：${sentence(holdfast.fault, 'zh')}`,
          }
        : undefined,
    ),
  },
  {
    code: 'family-dead',
    layer: 'tcp',
    says: ({ tcp, proxy }) => {
      const family = tcp && !proxy ? deadFamilyOf(tcp) : undefined
      if (!tcp || family === undefined) return undefined
      const codes = [...new Set(tcp.paths.filter((path) => path.family === family).map(({ code }) => code))].join(', ')
      const other = family === 6 ? 4 : 6
      return {
        en: `IPv${other} works but IPv${family} is dead on the way to this host (${codes}). Repair it, or take the ${family === 6 ? 'AAAA' : 'A'} record or IPv${family} itself away.`,
        zh: `到该主机的 IPv${other} 正常，但 IPv${family} 不通（${codes}）。请修复它，或去掉 ${family === 6 ? 'AAAA' : 'A'} 记录或 IPv${family} 本身。`,
      }
    },
  },
  {
    code: 'address-dead',
    layer: 'tcp',
    says: ({ tcp, proxy }) => {
      if (!tcp?.ok || proxy || deadFamilyOf(tcp) !== undefined) return undefined
      const dead = tcp.paths.filter(({ ok }) => !ok).map(({ address, code }) => `${address}: ${code}`)
      if (dead.length === 0) return undefined
      return {
        en: `${dead.length} of ${tcp.paths.length} addresses of this host cannot be reached (${dead.join(', ')}). The host's owner should repair them or take them out of the DNS.`,
        zh: `该主机 ${tcp.paths.length} 个地址中有 ${dead.length} 个无法到达（${dead.join('，')}）。应由其管理者修复，或从 DNS 中移除。`,
      }
    },
  },
]

const dnsRows: readonly Row[] = [
  {
    code: 'dns-partial',
    layer: 'dns',
    says: ({ dns, proxy }) => {
      if (!dns?.ok || proxy) return undefined
      const silent = [dns.a, dns.aaaa].map((asked, i) => (isBroken(asked?.code) ? ['A', 'AAAA'][i] : ''))
      const types = silent.filter(Boolean).join(', ')
      if (types === '') return undefined
      return {
        en: `The DNS does not answer the question for ${types} of "${dns.host}". Every lookup on this machine may wait for it: check the DNS servers.`,
        zh: `DNS 不应答“${dns.host}”的 ${types} 查询。本机的每次解析都可能为它等待：请检查 DNS 服务器。`,
      }
    },
  },
  {
    code: 'dns-slow',
    layer: 'dns',
    says: ({ dns, proxy }) => {
      const ms = dns?.ok && !proxy ? Math.max(dns.order?.ms ?? 0, dns.a?.ms ?? 0, dns.aaaa?.ms ?? 0) : 0
      if (!dns || ms <= SLOW_DNS_MS) return undefined
      return {
        en: `The DNS took ${duration(ms)} to answer for "${dns.host}". Check the DNS servers of this machine.`,
        zh: `DNS 用了 ${duration(ms)} 才应答“${dns.host}”。请检查本机的 DNS 服务器。`,
      }
    },
  },
]

/** Not that there is no such record, but that nobody says whether there is. */
const isBroken = (code: string | null | undefined): boolean =>
  code === NO_ANSWER || code === 'EAI_AGAIN' || code === 'EAI_FAIL'

export const blemishes: readonly Row[] = [...heartbeatRows, ...clockAndCertificateRows, ...pathRows, ...dnsRows]
