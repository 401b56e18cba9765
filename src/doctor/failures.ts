/** What ends the descent, each as a row: when it is true of a report, and the sentence for it with advice. */
import { type Fault, type FaultCode, faults, type Text } from '../../machines/fault.ts'
import { sentence } from '../error.ts'
import type { Known } from './layers.ts'
import type { Row } from './rows.ts'
import { SKEW_MIN_MS } from './skew.ts'
import type { Path } from './tcp.ts'
import { NO_ANSWER } from './time.ts'
import type { TlsLayer, TlsProblem } from './tls.ts'
import type { UpgradeLayer } from './upgrade.ts'
import { day, duration, span } from './words.ts'

/** A sentence, and the advice of a fault of the table behind it. */
const withAdvice = (en: string, zh: string, code: FaultCode): Text => ({
  en: `${en} ${faults[code].advice.en}`,
  zh: `${zh}${faults[code].advice.zh}`,
})

const saidOf = (fault: Fault): Text => ({ en: capital(sentence(fault, 'en')), zh: sentence(fault, 'zh') })
const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1)

// The name and the ways to it: with a proxy these are the proxy's business.

const dnsRows: readonly Row[] = [
  {
    code: 'dns-not-found',
    layer: 'dns',
    says: ({ dns, proxy }) =>
      dns && !dns.ok && !proxy && isMissing(dns.order?.code)
        ? withAdvice(
            `The name "${dns.host}" has no address (${dns.order?.code}).`,
            `主机名“${dns.host}”没有地址（${dns.order?.code}）。`,
            'name-not-found',
          )
        : undefined,
  },
  {
    code: 'dns-unanswered',
    layer: 'dns',
    says: ({ dns, proxy }) =>
      dns && !dns.ok && !proxy
        ? withAdvice(
            `The DNS did not answer for "${dns.host}" (${dns.order?.code} after ${duration(dns.ms)}).`,
            `DNS 未能应答“${dns.host}”（${duration(dns.ms)} 后 ${dns.order?.code}）。`,
            'name-unavailable',
          )
        : undefined,
  },
]

const isMissing = (code: string | null | undefined): boolean => /^(ENOTFOUND|ENODATA|EAI_NONAME)$/.test(code ?? '')

const tcpRow = (code: string, fault: FaultCode | undefined, en: string, zh: string): Row => ({
  code,
  layer: 'tcp',
  says: ({ tcp, proxy }) => {
    if (!tcp || tcp.ok || proxy || (fault !== undefined && tcp.fault !== fault)) return undefined
    const each = tcp.paths.map(shown)
    return withAdvice(
      `${en.replace('PORT', String(tcp.port))} (${each.join(', ')}).`,
      `${zh.replace('PORT', String(tcp.port))}（${each.join('，')}）。`,
      tcp.fault ?? 'unknown',
    )
  },
})

const shown = ({ address, code, ms }: Path): string =>
  code === NO_ANSWER ? `${address}: ${NO_ANSWER} ${duration(ms)}` : `${address}: ${code}`

const tcpRows: readonly Row[] = [
  tcpRow('tcp-refused', 'refused', 'Nothing listens on port PORT', '端口 PORT 没有程序在监听'),
  tcpRow(
    'tcp-unreachable',
    'unreachable',
    'There is no way to any address of this host',
    '没有通向该主机任何地址的路由',
  ),
  tcpRow(
    'tcp-unanswered',
    'connect-timeout',
    'No address of this host answers on port PORT',
    '该主机没有任何地址在端口 PORT 上应答',
  ),
  tcpRow('tcp-failed', undefined, 'No address of this host can be connected to', '该主机的任何地址都无法连接'),
]

const proxyRow: Row = {
  code: 'proxy-failed',
  layer: 'proxy',
  says: ({ proxy }) => {
    if (!proxy || proxy.ok) return undefined
    const name = proxy.proxy ?? '?'
    const { code, detail } = proxy.fault ?? { code: 'unknown' as const, detail: undefined }
    const { because } = faults[code]
    return {
      en:
        `The proxy ${name}, through which this URL goes, opens no way to it: ${detail ?? because.en}. ` +
        'Check the proxy settings (--proxy, HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY) and that the proxy runs.',
      zh:
        `该 URL 经过的代理 ${name} 未能打通：${detail ?? because.zh}。` +
        '请检查代理设置（--proxy、HTTPS_PROXY、HTTP_PROXY、ALL_PROXY、NO_PROXY）以及代理是否在运行。',
    }
  },
}

// TLS: the certificate by name, and the clock before the certificate where the clock is to blame.

const isDated = ({ problem }: TlsLayer): boolean => problem === 'expired' || problem === 'not-yet-valid'

const clockRow: Row = {
  code: 'tls-clock',
  layer: 'tls',
  says: ({ tls }) => {
    if (!tls || tls.ok || !isDated(tls) || tls.skewMs === null || Math.abs(tls.skewMs) <= SKEW_MIN_MS) return undefined
    const isAhead = tls.skewMs > 0
    return {
      en:
        `This machine's clock is ${span(tls.skewMs)} ${isAhead ? 'ahead of' : 'behind'} the peer's, so the certificate ` +
        'looks as if it were not valid now. Set the clock of this machine (NTP).',
      zh:
        `本机时钟比对端${isAhead ? '快' : '慢'} ${span(tls.skewMs)}，所以证书看起来不在有效期内。` +
        '请校准本机时钟（NTP）。',
    }
  },
}

const certificateOf = ({ chain }: TlsLayer) => chain[0] ?? { subject: '?', issuer: '?', validFrom: '?', validTo: '?' }

const tlsTexts: readonly (readonly [TlsProblem, (tls: TlsLayer) => Text])[] = [
  [
    'expired',
    (tls) => ({
      en: `The peer's certificate expired on ${day(certificateOf(tls).validTo)}. Renew it there; if it looks valid elsewhere, check this machine's clock.`,
      zh: `对端证书已于 ${day(certificateOf(tls).validTo)} 过期。请在对端续期；若在别处显示有效，请检查本机时钟。`,
    }),
  ],
  [
    'not-yet-valid',
    (tls) => ({
      en: `The peer's certificate is not valid before ${day(certificateOf(tls).validFrom)}. Most often this machine's clock is behind: check it (NTP).`,
      zh: `对端证书在 ${day(certificateOf(tls).validFrom)} 之前无效。多半是本机时钟偏慢：请检查（NTP）。`,
    }),
  ],
  [
    'wrong-host',
    (tls) => ({
      en: `The peer's certificate is for another host (${certificateOf(tls).subject}). Use the name that it was made for, or have one made for this name.`,
      zh: `对端证书属于另一主机（${certificateOf(tls).subject}）。请使用证书对应的主机名，或为此主机名签发证书。`,
    }),
  ],
  [
    'self-signed',
    (tls) => ({
      en: `The peer's certificate is signed by itself (${certificateOf(tls).subject}). Trust it with NODE_EXTRA_CA_CERTS if it is yours, or use one of a public authority.`,
      zh: `对端证书是自签名的（${certificateOf(tls).subject}）。若是您自己的证书，请用 NODE_EXTRA_CA_CERTS 信任它，或改用公共机构签发的证书。`,
    }),
  ],
  [
    'unknown-issuer',
    (tls) => ({
      en: `Nobody whom this machine trusts has signed the peer's certificate (issuer: ${certificateOf(tls).issuer}). The peer may not send its whole chain, or something between opens the connection; your own authority is named with NODE_EXTRA_CA_CERTS.`,
      zh: `对端证书的签发者（${certificateOf(tls).issuer}）不受本机信任。可能是对端未发送完整证书链，或中间设备在拆解连接；自有机构请用 NODE_EXTRA_CA_CERTS 指定。`,
    }),
  ],
  [
    'untrusted',
    (tls) =>
      withAdvice(
        `The peer's certificate is not trusted (${tls.code}).`,
        `对端证书不受信任（${tls.code}）。`,
        'tls-certificate',
      ),
  ],
  [
    'not-tls',
    (tls) => ({
      en: `What answers on that port does not speak TLS (${tls.code}). Write ws:// in place of wss://, or correct the port.`,
      zh: `该端口应答的程序不使用 TLS（${tls.code}）。请将 wss:// 改为 ws://，或更正端口。`,
    }),
  ],
  [
    'dropped',
    () =>
      withAdvice(
        'The connection was accepted and dropped in the TLS handshake.',
        '连接被接受，但在 TLS 握手中断开。',
        'dropped',
      ),
  ],
  [
    'no-answer',
    (tls) =>
      withAdvice(
        `The TLS handshake was not answered within ${duration(tls.ms)}.`,
        `TLS 握手在 ${duration(tls.ms)} 内没有应答。`,
        'tls-timeout',
      ),
  ],
  [
    'failed',
    (tls) => withAdvice(`The TLS handshake failed (${tls.code}).`, `TLS 握手失败（${tls.code}）。`, 'tls-failed'),
  ],
]

const tlsRows: readonly Row[] = tlsTexts.map(([problem, says]) => ({
  code: `tls-${problem}`,
  layer: 'tls',
  says: ({ tls }: Known) => (tls && !tls.ok && tls.problem === problem ? says(tls) : undefined),
}))

// The upgrade: by what was answered, then by what went wrong in place of an answer.

type Answer = readonly [code: string, when: (layer: UpgradeLayer) => boolean, says: (layer: UpgradeLayer) => Text]

const saidAs = ({ fault }: UpgradeLayer): Text => saidOf(fault ?? { code: 'unknown' })

const upgradeTexts: readonly Answer[] = [
  [
    'upgrade-portal',
    ({ status, page }) => status === 200 && page,
    () => ({
      en: 'A web page was answered in place of the WebSocket (HTTP 200, HTML): a captive portal, or a web interface on that port. Log in to the network with a browser, or correct port and path.',
      zh: '应答的是网页而不是 WebSocket（HTTP 200，HTML）：可能是上网认证页，或该端口是网页界面。请用浏览器完成网络认证，或更正端口和路径。',
    }),
  ],
  ['upgrade-unauthorized', ({ fault }) => fault?.code === 'upgrade-unauthorized', saidAs],
  ['upgrade-forbidden', ({ fault }) => fault?.code === 'upgrade-forbidden', saidAs],
  [
    'upgrade-not-found',
    ({ status }) => status === 404,
    () => ({
      en: 'The peer is there but has nothing under this path (HTTP 404). Correct the path of the URL.',
      zh: '对端存在，但该路径下没有内容（HTTP 404）。请更正 URL 的路径。',
    }),
  ],
  [
    'upgrade-redirected',
    ({ status }) => status !== null && status >= 300 && status < 400,
    ({ status, location }) => ({
      en: `The peer sends us elsewhere (HTTP ${status}${location ? `, ${location}` : ''}), which a WebSocket does not follow. Use the URL that it names, or look for a login page before it.`,
      zh: `对端要求重定向（HTTP ${status}${location ? `，${location}` : ''}），而 WebSocket 不会跟随。请使用它给出的 URL，或检查前面是否有登录页。`,
    }),
  ],
  [
    'upgrade-throttled',
    ({ fault }) => fault?.code === 'throttled',
    ({ status, retryAfterMs }) => ({
      en: `The peer asks for patience (HTTP ${status}${retryAfterMs === null ? '' : `, for ${duration(retryAfterMs)}`}). Wait, and dial less often; a link waits as long as it is asked to.`,
      zh: `对端要求稍候（HTTP ${status}${retryAfterMs === null ? '' : `，${duration(retryAfterMs)}`}）。请等待并减少拨号；holdfast 的连接会按要求等待。`,
    }),
  ],
  ['upgrade-unavailable', ({ fault }) => fault?.code === 'peer-unavailable', saidAs],
  ['upgrade-unanswered', ({ fault }) => fault?.code === 'upgrade-timeout', saidAs],
  ['upgrade-dropped', ({ fault }) => fault?.code === 'dropped', saidAs],
  ['upgrade-not-websocket', ({ fault }) => fault?.code === 'not-websocket', saidAs],
  ['upgrade-refused', () => true, saidAs],
]

const upgradeRows: readonly Row[] = upgradeTexts.map(([code, when, says]) => ({
  code,
  layer: 'upgrade',
  says: ({ upgrade }: Known) => (upgrade && !upgrade.ok && when(upgrade) ? says(upgrade) : undefined),
}))

const sessionRows: readonly Row[] = [
  {
    code: 'handshake-failed',
    layer: 'handshake',
    says: ({ handshake }) =>
      handshake && !handshake.ok ? saidOf(handshake.fault ?? { code: 'handshake-timeout' }) : undefined,
  },
  {
    code: 'heartbeats-ended',
    layer: 'heartbeats',
    says: ({ heartbeats }) => {
      if (!heartbeats || heartbeats.ok || !heartbeats.fault) return undefined
      const { en, zh } = saidOf(heartbeats.fault)
      return heartbeats.kind === 'probe'
        ? { en, zh }
        : {
            en: `The peer accepted us and then ended the connection (${heartbeats.fault.detail}). Often it wants a token or another protocol: name the adapter (--adapter) to learn more.`,
            zh: `对端接受了连接，随后又将其结束（${heartbeats.fault.detail}）。常见原因是需要令牌或协议不同：请指定适配器（--adapter）以了解更多。`,
          }
    },
  },
  {
    code: 'heartbeats-unanswered',
    layer: 'heartbeats',
    says: ({ heartbeats }) =>
      heartbeats && !heartbeats.ok
        ? withAdvice(
            'The peer accepted us but answered no heartbeat.',
            '对端接受了连接，但没有应答任何心跳。',
            'heartbeat-timeout',
          )
        : undefined,
  },
]

/** In the order in which they are looked at: the deepest layer first, and within it the more particular first. */
export const failures: readonly Row[] = [
  ...sessionRows,
  ...upgradeRows,
  clockRow,
  ...tlsRows,
  proxyRow,
  ...tcpRows,
  ...dnsRows,
]
