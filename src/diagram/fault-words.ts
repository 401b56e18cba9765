/** What the kinds and sides of the fault table mean, in English and Chinese. */
import { curveOf, curves } from '../../machines/delay.ts'
import { type FaultCode, type FaultKind, type FaultSide, kindOf, type Text } from '../../machines/fault.ts'
import { duration } from './model.ts'

const text = (en: string, zh: string): Text => ({ en, zh })

export const kindWords: Record<FaultKind, Text> = {
  vacant: text(
    'nothing listens there, so dialing costs nobody anything: the link comes back quickly',
    '没有程序在监听，重拨不给任何人添负担：很快重连',
  ),
  dropped: text('something accepted and let go before it answered', '连接被接受，但在应答之前断开'),
  costly: text('the peer spent work on us: the link comes back ever more slowly', '对端为我们付出了代价：重连越来越慢'),
  doubtful: text(
    'probably a person is needed; believed when it happens twice in a row',
    '很可能需要人来处理；连续出现两次即采信',
  ),
  fatal: text('no retry can help: the link parks and waits for a person', '重试无济于事：连接停驻，等待人工处理'),
  impaired: text('the transport is fine and stays; what lies behind it is not', '传输正常并保持；其背后的部分不正常'),
}

export const sideWords: Record<FaultSide, Text> = {
  network: text('what lies between', '中间的网络'),
  peer: text('the other side', '对端'),
  us: text('this process', '本进程'),
  person: text('somebody has to change something', '需要有人更改某处'),
}

/** What a link does about a fault. */
export const reactionTo = (code: FaultCode): Text => {
  const kind = kindOf({ code })
  if (kind === 'fatal')
    return text(
      'It parks at once, and dials again when somebody calls resume().',
      '立即停驻；有人调用 resume() 后才会再次拨号。',
    )
  if (code === 'service-failed')
    return text(
      'It stays as it is; the service is started again, ever more slowly.',
      '保持原状；服务会重新启动，间隔逐渐放慢。',
    )
  if (kind === 'impaired') {
    return text('It stays connected, and is live again when the peer says so.', '保持连接；对端表示恢复后重新在线。')
  }
  const { baseMs, capMs, patience } = curves[curveOf({ code })]
  const [first, last] = [duration(baseMs), duration(patience?.capMs ?? capMs)]
  const twice = kind === 'doubtful'
  return text(
    `It dials again by itself, after ${first} at most, then ever more slowly, up to ${last}.${twice ? ' The second time in a row it parks.' : ''}`,
    `自动重拨：首次最多等 ${first}，之后逐渐放慢，最长 ${last}。${twice ? '若连续第二次出现，则停驻。' : ''}`,
  )
}
