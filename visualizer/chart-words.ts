/** What the drawing says about its names, in Chinese. The names themselves (states, events, guards) stay as they are. */

const sentences: Record<string, string> = {
  'In every state that has no arrow of its own for it': '适用于所有未另行规定的状态',
  'The life of one link': '一个连接的生命周期',
  'States and transitions of the chart. The state table holds the same in words.': '状态图中的状态与转移。',
  deadline: '到期',
  final: '终态',
  watched: '受心跳监视',
  waits: '等待',
  'waits for a person': '等待人工处理',
  'sendable · watched': '可发送 · 受心跳监视',
  'for backoffDelay': '持续 backoffDelay',
  'heartbeat ended or failed': 'heartbeat 结束或失败',
  'after 2 min: forgive': '2 分钟后：forgive',
  // of the tooltips
  'dial again, later': '稍后重新拨号',
  'holdfast itself failed': 'holdfast 自身故障',
  'no retry can help': '重试无济于事',
  'there is a reason to expect success': '有理由期待成功',
  'the time is up': '时间已到',
  'all is said, and the peer has said goodbye too': '双方均已道别',
  'the transport is no more': '传输已不存在',
  'asked twice: now': '再次要求：立即停止',
  'drain is finished': '已全部送达',
  'drain failed': '送达失败',
  'the peer did not answer the connection in time': '对端未及时应答连接',
  'the socket is open': '套接字已打开',
  'the peer accepted but did not welcome us in time': '对端接受了连接但未及时欢迎',
  'the peer accepted us': '对端接纳了我们',
  'impaired in another way': '以另一种方式受损',
  'the account recovered': '账号已恢复',
  'a probe went unanswered': '一次探测未获应答',
  'a person wants it quiet': '有人要求静默',
  'nothing is open, so nothing is left to drain': '没有打开的连接，无需等待送达',
  'cut, for another process may own it now': '立即切断，因为可能已归另一进程',
  'the fault it carries': '事件所带的故障',
  'past attempts are forgiven': '此前的尝试一笔勾销',
  'a person ordered it': '有人下令',
  'the peer welcomed us but did not finish bringing us up to date': '对端已欢迎但未补齐消息',
  'all that was missed has arrived': '缺失的消息已全部到达',
  'there is an address to dial': '已有可拨的地址',
  'names and providers recover': '域名与提供方会恢复',
  'finding the endpoint took too long': '查找对端耗时过长',
  'deliver what waits, then say goodbye': '送达待发消息，然后道别',
  'the peer has gone silent': '对端失去响应',
  'alive, but as useless as before': '仍存活，但依旧不可用',
  'a false alarm': '虚惊一场',
  'known once the probe is answered': '探测获应答后即知',
}

const sentence = (text: string): string => (Object.hasOwn(sentences, text) ? sentences[text]! : text)

/** A tooltip has a line for each cause: `event: why`. */
const line = (text: string): string => {
  const colon = text.indexOf(': ')
  const whole = sentence(text)
  return colon < 0 || whole !== text ? whole : `${text.slice(0, colon)}：${sentence(text.slice(colon + 2))}`
}

export const inChinese = (text: string): string =>
  text
    .split('\n')
    .map(line)
    .join('\n')
    .replace(/^ {2}runs /, '  运行 ')
