/**
 * Everything that can go wrong with a link, as a closed table.
 *
 * A fault is a value, never an exception: the shell classifies raw errors into these codes once (`faultFrom`), and the
 * chart decides by the *kind* alone. Adding a row here is the whole change that a new way of failing needs.
 */

/**
 * What a fault means for the next dial. The first three are curves of `delay.ts`, named for what a dial costs the other side.
 *
 * - `vacant`    nothing listens there, so dialing costs nobody anything: come back quickly
 * - `dropped`   something accepted and let go before it answered
 * - `costly`    the peer spent work on us: a handshake, a session, a refusal
 * - `doubtful`  probably a person is needed; believed when it happens twice in a row
 * - `fatal`     no retry can help: a person is needed now
 * - `impaired`  the transport is fine and stays; what lies behind it is not
 */
export type FaultKind = 'vacant' | 'dropped' | 'costly' | 'doubtful' | 'fatal' | 'impaired'

/** Who has to change something for the fault to go away. */
export type FaultSide = 'network' | 'peer' | 'us' | 'person'

export interface Text {
  readonly en: string
  readonly zh: string
}

export interface FaultRow {
  readonly kind: FaultKind
  readonly side: FaultSide
  /** What happened, as the end of the sentence "… because". */
  readonly because: Text
  /** What a person can do about it. */
  readonly advice: Text
}

const row = (kind: FaultKind, side: FaultSide, because: [string, string], advice: [string, string]): FaultRow => ({
  kind,
  side,
  because: { en: because[0], zh: because[1] },
  advice: { en: advice[0], zh: advice[1] },
})

export const faults = {
  // Finding the peer
  'name-not-found': row(
    'vacant',
    'person',
    ['the host name does not exist', '主机名不存在'],
    [
      'Check the spelling of the host, and that this machine uses the right DNS.',
      '检查主机名拼写，以及本机使用的 DNS 是否正确。',
    ],
  ),
  'name-unavailable': row(
    'vacant',
    'network',
    ['the DNS gave no answer', 'DNS 没有给出应答'],
    [
      'Usually passes by itself. If it stays, check the DNS servers of this machine.',
      '通常会自行恢复；若持续出现，请检查本机的 DNS 服务器。',
    ],
  ),
  'resolve-timeout': row(
    'vacant',
    'network',
    ['finding the endpoint took too long', '查找端点超时'],
    ['Check the DNS servers, or the function that supplies the URL.', '检查 DNS 服务器，或提供 URL 的函数。'],
  ),
  'provider-failed': row(
    'costly',
    'us',
    ['the function that supplies the URL or the credentials failed', '提供 URL 或凭据的函数失败'],
    ['Read the detail: the error is that of your own provider.', '请看详情：错误来自你自己的提供函数。'],
  ),
  'endpoint-refused': row(
    'costly',
    'peer',
    ['the endpoint that the peer supplied may not be dialed', '对端提供的端点不允许拨号'],
    [
      'Nothing was sent. If the peer is meant to live in a private network, give its URL yourself.',
      '未发送任何数据。若对端本应位于内网，请自行填写其 URL。',
    ],
  ),

  // Reaching it
  refused: row(
    'vacant',
    'peer',
    ['nothing listens on that port', '该端口没有程序在监听'],
    ['Start the peer, or correct the port. The link comes back by itself.', '启动对端，或更正端口；连接会自行恢复。'],
  ),
  unreachable: row(
    'vacant',
    'network',
    ['there is no route to the peer', '没有到达对端的路由'],
    ['Check the network and the firewall of this machine.', '检查本机的网络和防火墙。'],
  ),
  'peer-absent': row(
    'vacant',
    'peer',
    ['the peer has not dialed us yet', '对端尚未连接过来'],
    [
      'Start the peer, and check that the address it dials is the one where this link listens.',
      '启动对端，并检查其连接地址是否指向此监听地址。',
    ],
  ),
  'listener-failed': row(
    'costly',
    'us',
    ['the port on which the peer is awaited could not be opened', '无法打开等待对端连接的端口'],
    [
      'See which program holds the port, or choose another one. The link tries again by itself.',
      '查看占用该端口的程序，或更换端口；连接会自行重试。',
    ],
  ),
  'connect-timeout': row(
    'dropped',
    'network',
    ['the peer did not answer the connection in time', '对端未在时限内应答连接'],
    ['Check the address, and whether a firewall drops the packets.', '检查地址，以及是否有防火墙丢弃数据包。'],
  ),
  'out-of-sockets': row(
    'costly',
    'us',
    ['this process may open no more sockets or files', '本进程无法再打开套接字或文件'],
    ['Raise the limit (ulimit -n), or find what leaks descriptors.', '提高限制（ulimit -n），或找出泄漏描述符的地方。'],
  ),

  // Getting in
  dropped: row(
    'dropped',
    'peer',
    ['the connection was accepted and lost before any answer', '连接被接受，但在应答之前断开'],
    [
      'Often a proxy whose container is down: check what stands behind the port.',
      '常见于容器未运行的代理：检查端口背后的程序。',
    ],
  ),
  'tls-certificate': row(
    'costly',
    'peer',
    ["the peer's certificate is not valid for this host", '对端证书对该主机无效'],
    [
      'Check expiry, host name and issuer of the certificate, and the clock of this machine.',
      '检查证书的有效期、主机名、签发者，以及本机时钟。',
    ],
  ),
  'tls-failed': row(
    'costly',
    'peer',
    ['the TLS handshake failed', 'TLS 握手失败'],
    [
      'Check that the port speaks TLS (wss) and that no proxy interferes.',
      '检查该端口是否使用 TLS（wss），以及是否有代理干扰。',
    ],
  ),
  'tls-timeout': row(
    'costly',
    'peer',
    ['the TLS handshake took too long', 'TLS 握手超时'],
    [
      'The peer or a proxy before it hangs: look at its load and its log.',
      '对端或其前面的代理卡住：查看其负载和日志。',
    ],
  ),
  'upgrade-timeout': row(
    'costly',
    'peer',
    ['the peer did not answer the WebSocket upgrade in time', '对端未在时限内应答 WebSocket 升级'],
    ['The peer accepts but hangs: look at its load and its log.', '对端接受连接但卡住：查看其负载和日志。'],
  ),
  'upgrade-unauthorized': row(
    'fatal',
    'person',
    ['the peer refused our token (HTTP 401 or 407)', '对端拒绝了令牌（HTTP 401 或 407）'],
    ['Correct the access token, then resume the link.', '更正访问令牌，然后恢复连接。'],
  ),
  'upgrade-forbidden': row(
    'doubtful',
    'person',
    ['the peer forbade the connection (HTTP 403)', '对端禁止连接（HTTP 403）'],
    [
      'Check the access token and whether a firewall of the peer blocks this machine, then resume.',
      '检查访问令牌，以及对端防火墙是否屏蔽本机，然后恢复连接。',
    ],
  ),
  'upgrade-refused': row(
    'costly',
    'peer',
    ['the peer answered the upgrade with another status', '对端以其他状态码应答升级'],
    [
      'Check the path of the URL, and that no proxy or login page answers in its place.',
      '检查 URL 路径，以及是否有代理或登录页代为应答。',
    ],
  ),
  throttled: row(
    'costly',
    'peer',
    [
      'the peer asks for patience (HTTP 429, or 503 with Retry-After)',
      '对端要求稍候（HTTP 429，或带 Retry-After 的 503）',
    ],
    ['Nothing to do: the link waits as long as the peer asked.', '无需操作：连接会按对端要求的时间等待。'],
  ),
  'peer-unavailable': row(
    'costly',
    'peer',
    ['the peer, or a proxy before it, answered with a server error', '对端或其前面的代理返回服务器错误'],
    ["Look at the peer's own log. The link comes back by itself.", '查看对端日志；连接会自行恢复。'],
  ),
  'not-websocket': row(
    'costly',
    'peer',
    ['what answers there is not a WebSocket server', '应答的不是 WebSocket 服务器'],
    ['Check host, port and path.', '检查主机、端口和路径。'],
  ),
  'handshake-timeout': row(
    'costly',
    'peer',
    ['the peer accepted but did not welcome us in time', '对端接受了连接，但未在时限内欢迎'],
    [
      'Check that the chosen adapter is the one this peer speaks, and the log of the peer.',
      '检查适配器是否与对端协议一致，并查看对端日志。',
    ],
  ),
  'handshake-refused': row(
    'costly',
    'peer',
    ['the peer ended the handshake', '对端终止了握手'],
    ["Look at the detail and at the peer's log.", '查看详情和对端日志。'],
  ),
  'credentials-rejected': row(
    'fatal',
    'person',
    ['the peer rejected our credentials', '对端拒绝了凭据'],
    ['Correct the token, then resume the link.', '更正令牌，然后恢复连接。'],
  ),
  'credentials-expired': row(
    'doubtful',
    'person',
    ['the peer does not accept what the provider of our credentials gave', '对端不接受凭据提供函数给出的凭据'],
    [
      'The provider is asked for new ones once. If they are rejected too, correct it, then resume the link.',
      '会再向提供函数索取一次；若新凭据仍被拒绝，请更正该函数，然后恢复连接。',
    ],
  ),
  'setup-refused': row(
    'fatal',
    'person',
    ['the platform does not allow what this bot asks for', '平台不允许该机器人请求的内容'],
    [
      'Correct what the detail names (intents, shard, version), or have the platform allow it, then resume the link.',
      '更正详情中所指的内容（intents、分片、版本），或在平台开通相应权限，然后恢复连接。',
    ],
  ),
  'login-needed': row(
    'fatal',
    'person',
    ['the platform wants a person to log the account in', '平台要求人工登录账号'],
    ['Log in (scan the code, solve the captcha), then resume the link.', '请登录（扫码或完成验证），然后恢复连接。'],
  ),
  'key-exchange-failed': row(
    'costly',
    'peer',
    ['the keys could not be agreed on', '密钥协商失败'],
    [
      'Check the clock of this machine and the protocol version; another endpoint is tried first.',
      '检查本机时钟和协议版本；会先尝试其他端点。',
    ],
  ),
  'account-banned': row(
    'fatal',
    'person',
    ['the platform has banned or blocked this account', '平台已封禁该账号'],
    ['Contact the platform. Retrying makes it worse.', '请联系平台；重试只会更糟。'],
  ),
  kicked: row(
    'fatal',
    'person',
    ['another session took the account over', '账号被另一会话占用'],
    ['Stop the other session, then resume this one.', '停止另一会话，然后恢复此连接。'],
  ),
  'replay-timeout': row(
    'costly',
    'peer',
    ['the peer welcomed us but did not finish bringing us up to date', '对端已欢迎，但未完成补发'],
    ["Look at the peer's log.", '查看对端日志。'],
  ),

  'session-lost': row(
    'costly',
    'peer',
    ['the peer no longer knows our session', '对端已不再认识我们的会话'],
    [
      'Nothing to do: a new session is started. Messages in between may be missing.',
      '无需操作：会启动新会话；其间的消息可能缺失。',
    ],
  ),
  'session-budget': row(
    'costly',
    'us',
    ['no session may be started at the moment', '目前不允许启动新会话'],
    [
      'Nothing to do: the link waits, so that the platform does not take the token away. Restart the bot less often.',
      '无需操作：连接会等待，以免平台收回令牌；请减少重启次数。',
    ],
  ),

  // Staying in
  'heartbeat-timeout': row(
    'costly',
    'network',
    ['the peer has gone silent', '对端失去响应'],
    [
      'The peer is frozen, or the network between drops everything: check both.',
      '对端卡死，或中间网络中断：请检查两者。',
    ],
  ),
  'answer-timeout': row(
    'costly',
    'peer',
    ['the peer left a question unanswered', '对端未应答请求'],
    [
      'The peer or a proxy before it hangs: look at its load and its log.',
      '对端或其前面的代理卡住：查看其负载和日志。',
    ],
  ),
  'poll-conflict': row(
    'costly',
    'person',
    ['somebody else receives the messages of this bot at the same time', '另有程序同时接收该机器人的消息'],
    ['Stop the other instance, or the webhook.', '请停止另一实例或 webhook。'],
  ),
  'lease-lost': row(
    'costly',
    'peer',
    ['the registration ran out while we could not renew it', '注册在无法续期期间过期'],
    ['Nothing to do: the link registers anew.', '无需操作：连接会重新注册。'],
  ),
  'client-failed': row(
    'costly',
    'us',
    ['the client that carries this link failed or stopped', '承载此连接的客户端失败或停止'],
    [
      'Read the detail: the error is that of the client. It is started again.',
      '请看详情：错误来自该客户端；会重新启动。',
    ],
  ),
  'connection-lost': row(
    'costly',
    'network',
    ['the connection broke without a goodbye', '连接未经告别而中断'],
    [
      'Nothing to do once; if it repeats, look at the peer and at proxies between.',
      '偶发无需处理；若反复出现，请检查对端和中间代理。',
    ],
  ),
  'closed-by-peer': row(
    'costly',
    'peer',
    ['the peer closed the connection', '对端关闭了连接'],
    [
      "Usually a restart of the peer. If it repeats, read the peer's log.",
      '通常是对端重启；若反复出现，请查看对端日志。',
    ],
  ),
  'peer-leaving': row(
    'costly',
    'peer',
    ['the peer announced that it is going away', '对端宣布即将离开'],
    ['Nothing to do: the link moves.', '无需操作：连接会自行迁移。'],
  ),
  'try-later': row(
    'costly',
    'peer',
    ['the peer is overloaded and asks to come back later (1013)', '对端过载，要求稍后再来（1013）'],
    ['Nothing to do: the link waits.', '无需操作：连接会等待。'],
  ),
  'frame-too-big': row(
    'costly',
    'peer',
    ['the peer sent a frame over the size limit', '对端发送的帧超过大小限制'],
    ['Raise maxPayloadBytes if such frames are legitimate.', '若此类帧合理，请调大 maxPayloadBytes。'],
  ),
  'protocol-violated': row(
    'costly',
    'peer',
    ['one side broke the protocol', '有一方违反了协议'],
    ['Check versions of adapter and peer; report it with the detail.', '检查适配器和对端版本，并附详情上报。'],
  ),

  // Fine, but of no use
  'account-offline': row(
    'impaired',
    'person',
    ['the peer is reachable but says that the account is offline', '对端可达，但报告账号离线'],
    [
      'Log the account in at the peer. Reconnecting would not help, so the link stays.',
      '请在对端登录账号；重连无济于事，连接会保持。',
    ],
  ),
  deaf: row(
    'impaired',
    'peer',
    ['heartbeats are fine but nothing else arrives', '心跳正常，但没有任何消息'],
    [
      'Check subscriptions and intents, and whether another process holds the session.',
      '检查订阅和权限，以及是否有其他进程占用会话。',
    ],
  ),
  'service-failed': row(
    'impaired',
    'us',
    ['what depends on this link could not be started, or ended', '依赖此连接的服务未能启动，或已结束'],
    [
      'Read the detail: the error is that of the service. The link stays, and the service is started again.',
      '请看详情：错误来自该服务。连接保持，服务会重新启动。',
    ],
  ),

  // Owning a link, where several processes may
  'lease-taken': row(
    'costly',
    'us',
    ['another process owns this link now', '该连接现由另一进程持有'],
    ['Nothing to do: this process waits for its turn.', '无需操作：本进程会等待轮到自己。'],
  ),
  'lease-expired': row(
    'costly',
    'us',
    [
      'the lease could not be renewed in time, so another process may own this link',
      '租约未能及时续期，连接可能已归另一进程',
    ],
    [
      'Check the lease store and the network to it; this process asks for the lease again.',
      '请检查租约存储及到它的网络；本进程会重新申请租约。',
    ],
  ),
  'lease-store-failed': row(
    'dropped',
    'network',
    ['the store of the leases gave no answer, or an error', '租约存储没有应答或返回错误'],
    ['Check the lease store, the network to it, and its credentials.', '请检查租约存储、到它的网络以及凭据。'],
  ),
  'link-failed': row(
    'costly',
    'us',
    ['the function that makes the link failed', '创建连接的函数失败'],
    ['Read the detail: the error is that of your own function.', '请看详情：错误来自你自己的函数。'],
  ),

  // Ourselves
  'adapter-failed': row(
    'costly',
    'us',
    ['the adapter threw', '适配器抛出异常'],
    ['A bug in the adapter: report it with the detail.', '适配器缺陷：请附详情上报。'],
  ),
  'engine-failed': row(
    'costly',
    'us',
    ['holdfast itself failed', 'holdfast 自身出错'],
    ['A bug in holdfast: please report it with the detail.', 'holdfast 缺陷：请附详情上报。'],
  ),
  unknown: row(
    'costly',
    'us',
    ['something failed that holdfast does not know', '发生了 holdfast 不认识的错误'],
    ['Please report the detail, so that the table can learn it.', '请上报详情，以便补充故障表。'],
  ),
  held: row(
    'fatal',
    'person',
    ['an operator put the link on hold', '操作员暂停了连接'],
    ['Resume the link when it should run again.', '需要时恢复连接。'],
  ),
} as const satisfies Record<string, FaultRow>

export type FaultCode = keyof typeof faults

/** One thing that went wrong. Plain data: it is stored in the chart's context, in records and in traces. */
export interface Fault {
  readonly code: FaultCode
  /** What exactly, in the words of the system or the peer; free of secrets. */
  readonly detail?: string
  /** How long the other side asked us to wait, in milliseconds: a minimum for the next dial. */
  readonly retryAfterMs?: number
}

export const kindOf = (fault: Fault): FaultKind => faults[fault.code].kind

/** Adapters may be written in plain JavaScript: what they call a fault is looked at before the chart believes it. */
export const isFault = (value: unknown): value is Fault => {
  if (typeof value !== 'object' || value === null) return false
  const { code, retryAfterMs } = value as Partial<Fault>
  return (
    typeof code === 'string' && Object.hasOwn(faults, code) && ['undefined', 'number'].includes(typeof retryAfterMs)
  )
}
