/** What the lab's faults are called on their buttons, what each of them does, and why an order was refused. */
import { language } from './words.ts'

type Told = readonly [en: string, zh: string]

const faults: Record<string, { readonly name: Told; readonly does: Told }> = {
  drop: {
    name: ['drop TCP', '断开 TCP'],
    does: ['TCP is reset once.', 'TCP 被重置一次。'],
  },
  freeze: {
    name: ['freeze', '冻结'],
    does: [
      'The peer stands still until it is missed, and 2 s more; its sockets stay open.',
      '对端停住，直到被发现后再过 2 秒；套接字保持打开。',
    ],
  },
  refuse: {
    name: ['refuse', '拒绝连接'],
    does: [
      'The peer is killed; nothing listens until a dial was refused, and 2 s more.',
      '对端被杀死；直到有拨号被拒后再过 2 秒，端口无人监听。',
    ],
  },
  'close-1006': {
    name: ['close 1006', '关闭 1006'],
    does: ['The connection ends once without a close frame.', '连接结束一次，没有关闭帧。'],
  },
  'close-1012': {
    name: ['close 1012', '关闭 1012'],
    does: ['The peer says once that it restarts.', '对端声明一次“服务重启”。'],
  },
  'close-4004': {
    name: ['close 4004', '关闭 4004'],
    does: ['The peer closes once with a code of its own.', '对端以自定义代码关闭一次。'],
  },
  'upgrade-401': {
    name: ['refuse: 401', '拒绝：401'],
    does: [
      'The upgrade is refused: the link parks, and waits for you to press “resume”.',
      '升级被拒：连接停放，等待您按“恢复”。',
    ],
  },
  'upgrade-429': {
    name: ['refuse: 429', '拒绝：429'],
    does: ['The peer asks to come back after 5 s.', '对端要求 5 秒后再来。'],
  },
  'slow-handshake': {
    name: ['slow handshake', '握手缓慢'],
    does: ['The upgrade is answered after 4 s.', '升级请求 4 秒后才得到答复。'],
  },
  'dns-failure': {
    name: ['DNS failure', 'DNS 故障'],
    does: [
      'The name of the peer does not exist until it was asked for, and 2 s more.',
      '对端的域名不存在，直到被查询后再过 2 秒。',
    ],
  },
}

const told = (fault: string, what: 'name' | 'does'): string | undefined =>
  Object.hasOwn(faults, fault) ? faults[fault]![what][language.value === 'zh' ? 1 : 0] : undefined

/** A peer of somebody's own has faults that only they know: those keep their names. */
export const faultWord = (fault: string): string => told(fault, 'name') ?? fault
export const faultDoes = (fault: string): string => told(fault, 'does') ?? ''

/** The process refuses in English, in these words (src/observe/inspect/obey.ts and src/cli/lab). */
const refusals: Record<string, string> = {
  'This inspector only watches.': '此检查器只供查看。',
  'There is no such fault.': '没有这种故障。',
  'There is no such link any more.': '该连接已不存在。',
  'The link must be live first: wait, or resume it.': '连接须先在线：请等待，或将其恢复。',
  'One fault at a time.': '一次只能制造一个故障。',
  'The link did not get there in time.': '连接未能及时到达预期状态。',
}

export const refusalWord = (error: string): string =>
  language.value === 'zh' && Object.hasOwn(refusals, error) ? refusals[error]! : error
