/** Why Node's default does worse than the paths themselves, told from what each path did by itself. */
import type { Text } from '../../machines/fault.ts'
import type { DialersLayer } from './dialers.ts'
import type { DnsLayer } from './dns.ts'
import type { Path, TcpLayer } from './tcp.ts'
import { NO_ANSWER } from './time.ts'
import { duration } from './words.ts'

export interface Evidence {
  readonly dns: DnsLayer
  readonly tcp: TcpLayer
  readonly dialers: DialersLayer
}

/** "curl works but Node's default would fail here, because …"; undefined where Node's default gets through. */
export const whyNodeFails = ({ dns, tcp, dialers }: Evidence): Text | undefined => {
  const { node, holdfast } = dialers
  if (node.ok || !holdfast.ok || !tcp.ok) return undefined
  const because = reasonOf({ dns, tcp, dialers })
  const codes = node.attempts.map(({ address, code }) => `${code} ${address}`).join(', ')
  const isHung = node.code === NO_ANSWER
  const [en, zh] = isHung
    ? [`Node had no connection after ${duration(node.ms)}`, `Node 在 ${duration(node.ms)} 后仍未连上`]
    : [
        `Node failed after ${duration(node.ms)} (${codes || node.code})`,
        `Node 在 ${duration(node.ms)} 后失败（${codes || node.code}）`,
      ]
  const advice = adviceFor(dns, tcp)
  return {
    en:
      `curl works but Node's default would ${isHung ? 'hang' : 'fail'} here, because ${because.en}. ` +
      `Measured: ${en}; holdfast, which lets the addresses race as curl does, connected to ${holdfast.address} after ` +
      `${duration(holdfast.ms)}. ${advice.en}`,
    zh:
      `curl 可以连接，但 Node 的默认行为在这里会${isHung ? '卡住' : '失败'}，因为 ${because.zh}。` +
      `实测：${zh}；holdfast 像 curl 一样让各地址竞速，${duration(holdfast.ms)} 后连上 ${holdfast.address}。${advice.zh}`,
  }
}

const SLOWER_BY_MS = 200
const SLOWER_BY = 1.5

/** Node's default gets through, but late. */
export const whyNodeIsSlow = ({ dns, tcp, dialers }: Evidence): Text | undefined => {
  const { node, holdfast } = dialers
  if (!node.ok || !holdfast.ok || node.ms < holdfast.ms + SLOWER_BY_MS || node.ms < holdfast.ms * SLOWER_BY) {
    return undefined
  }
  const because = reasonOf({ dns, tcp, dialers })
  return {
    en:
      `Node's default needs ${duration(node.ms)} here where racing needs ${duration(holdfast.ms)}, because ` +
      `${because.en}. ${adviceFor(dns, tcp).en}`,
    zh:
      `Node 的默认行为在这里需要 ${duration(node.ms)}，而竞速只需 ${duration(holdfast.ms)}，因为 ${because.zh}。` +
      `${adviceFor(dns, tcp).zh}`,
  }
}

const reasonOf = ({ dns, tcp, dialers: { node } }: Evidence): Text => {
  if (dns.order?.code === NO_ANSWER) {
    return {
      en: `Node waits until the DNS has answered for both families, and ${unanswered(dns)} was not answered within ${duration(dns.order.ms)}`,
      zh: `Node 要等 DNS 对两个地址族都给出应答，而 ${unanswered(dns)} 在 ${duration(dns.order.ms)} 内没有应答`,
    }
  }
  const parts = tcp.paths.map((path, index) => fateOf(path, index === tcp.paths.length - 1, node.attemptMs))
  const told = parts.filter((part) => part !== undefined)
  if (tcp.paths.length < 2 || told.length === 0) {
    return { en: 'its one attempt met a moment at which the peer did not answer', zh: '其唯一一次尝试恰逢对端没有应答' }
  }
  return {
    en:
      `Node tries one address after the other and destroys each attempt but the last after ${node.attemptMs} ms: ` +
      told.map(({ en }) => en).join('; '),
    zh:
      `Node 逐个尝试地址，除最后一个外，每次尝试 ${node.attemptMs} ms 后即被销毁：` +
      told.map(({ zh }) => zh).join('；'),
  }
}

const unanswered = (dns: DnsLayer): string => (dns.aaaa?.code === NO_ANSWER && dns.a?.code === null ? 'AAAA' : 'A')

/** What Node makes of one address: undefined where it would simply have connected. */
const fateOf = ({ address, ok, ms, code }: Path, isLast: boolean, attemptMs: number): Text | undefined => {
  if (ok && (isLast || ms <= attemptMs)) return undefined
  if (ok) {
    return {
      en: `${address}, which answers after ${duration(ms)}, is given up`,
      zh: `${address} 需要 ${duration(ms)} 才应答，被放弃`,
    }
  }
  if (code !== NO_ANSWER) {
    return { en: `${address} cannot be reached (${code})`, zh: `${address} 无法到达（${code}）` }
  }
  return isLast
    ? {
        en: `${address}, which never answers, comes last and is waited for without a limit`,
        zh: `${address} 从不应答，却排在最后，被无限期等待`,
      }
    : { en: `${address}, which never answers, costs ${attemptMs} ms`, zh: `${address} 从不应答，耗费 ${attemptMs} ms` }
}

/** Longer would cost as much at each address that never answers; shorter would give up what is merely slow. */
const ATTEMPT_MIN_MS = 2_000

const adviceFor = (dns: DnsLayer, tcp: TcpLayer): Text => {
  if (dns.order?.code === NO_ANSWER) {
    return {
      en: 'A link of holdfast needs nothing. Find out why the DNS servers of this machine leave the question unanswered.',
      zh: 'holdfast 的连接无需处理。请查明本机的 DNS 服务器为何不应答。',
    }
  }
  const slowestMs = Math.max(0, ...tcp.paths.filter(({ ok }) => ok).map(({ ms }) => ms))
  const attemptMs = Math.max(ATTEMPT_MIN_MS, Math.ceil((3 * slowestMs) / 1_000) * 1_000)
  const flag = `--network-family-autoselection-attempt-timeout=${attemptMs}`
  const family = deadFamilyOf(tcp)
  return {
    en:
      `A link of holdfast needs nothing; start Node with ${flag} for other programs on this machine` +
      `${family ? `, or repair its IPv${family}` : ''}.`,
    zh:
      `holdfast 的连接无需处理；本机的其他程序可用 ${flag} 启动 Node` +
      `${family ? `，或修复本机的 IPv${family}` : ''}。`,
  }
}

/** The family of which no address answers while the other one is well. */
export const deadFamilyOf = ({ paths }: TcpLayer): 4 | 6 | undefined =>
  ([6, 4] as const).find((family) => {
    const own = paths.filter((path) => path.family === family)
    return own.length > 0 && own.every(({ ok }) => !ok) && paths.some(({ ok }) => ok)
  })
