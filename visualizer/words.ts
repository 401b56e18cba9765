/** Every word of the page in both languages. Sentences about faults come from the table of faults. */
import { signal } from '@preact/signals'
import type { Language } from '../src/explain.ts'
import { remembered } from './memory.ts'

const words = {
  answered: ['done', '已完成'],
  backToLive: ['back to live', '返回实时'],
  bandsKeys: [
    'Ctrl and wheel, or + −, zoom. Drag to move. Point at a band to read how long and why.',
    'Ctrl 加滚轮或 + − 缩放，拖动平移，指向色带可查看时长与原因。',
  ],
  causesLately: ['last minute:', '最近一分钟：'],
  chart: ['Chart', '状态图'],
  chartCounts: ['numbers: in the {} kept', '数字：所保留的 {}中的次数'],
  chartCountsHere: ['numbers: in the {} up to here', '数字：截至此刻的 {}中的次数'],
  chartSigns: [
    'Filled: where it is. Bold arrows: what can happen next. Red ring: the time left. ≤ is a deadline; a frame is the life of one resource, and leaving it ends what runs in it.',
    '实心：当前状态。粗箭头：接下来可能发生的转移。红圈：剩余时间。≤ 为期限；外框是一项资源的生命周期，离开外框即结束其中运行的一切。',
  ],
  closeTrace: ['close trace', '关闭轨迹'],
  dropHere: ['Drop a trace here, or choose it with “open trace”.', '将轨迹文件拖到这里，或点击“打开轨迹”选择文件。'],
  dropHereFor: [
    'This address points into a trace: link {}, at {}. Drop that trace here, or choose it with “open trace”.',
    '此地址指向一份轨迹：连接 {}，时刻 {}。请将该轨迹文件拖到这里，或点击“打开轨迹”选择文件。',
  ],
  enlarge: ['enlarge', '放大'],
  gone: ['{} is gone: it has stopped, and its process has let go of it.', '{} 已不在：它已停止，进程不再保留它。'],
  left: ['{} left', '剩余 {}'],
  lookAt: ['It strikes {}.', '作用于 {}。'],
  lookAtLater: ['It strikes {}, once that is live again.', '作用于 {}，待其再次在线。'],
  none: ['Nothing fits the filter.', '没有符合筛选的连接。'],
  noneOfThem: ['No transition fits the filter.', '没有符合筛选的转移。'],
  noLinks: ['There are no links yet.', '尚无连接。'],
  reallyStop: ['stop for good?', '确定永久停止？'],
  stale: ['Not connected: this is how it was {} ago. Next try in {}.', '未连接：以下是 {}前的状态，{}后重试。'],
  table: ['The first 200 links that fit', '符合条件的前 200 个连接'],
  traceCut: ['A damaged tail was cut', '已截去损坏的结尾'],
  traceFacts: ['{} of {}', '{}，{}'],
  tripSpan: ['seen for {}', '已观察 {}'],
  tripBound: ['deadline {}', '期限 {}'],
  underWay: ['under way …', '进行中…'],
  waiting: ['Not connected.', '未连接。'],
  whole: ['whole trace', '整份轨迹'],
  zoomIn: ['zoom in', '放大'],
  zoomOut: ['zoom out', '缩小'],
  actions: ['Orders', '操作'],
  at: ['time', '时间'],
  attempt: ['dial', '拨号'],
  bands: ['Timeline', '时间线'],
  because: ['why', '原因'],
  causes: ['causes in the last minute', '最近一分钟的原因'],
  choose: ['Choose a link to see where it is and why.', '选择一个连接，查看其状态和原因。'],
  close: ['close', '关闭'],
  connecting: ['connecting …', '正在连接…'],
  copied: ['copied', '已复制'],
  copy: ['copy diagnosis', '复制诊断'],
  copyByHand: [
    'The browser does not let this page copy. Copy it from here:',
    '浏览器不允许本页复制，请从这里手动复制：',
  ],
  dark: ['dark', '深色'],
  delay: ['wait', '等待'],
  event: ['event', '事件'],
  faultPanel: ['Break something (the lab’s own peer)', '制造故障（仅限实验室自带对端）'],
  filter: ['filter', '筛选'],
  filterLinks: ['filter links', '筛选连接'],
  filterLog: ['filter transitions', '筛选转移'],
  follow: ['follow', '跟随'],
  fleet: ['Links', '连接'],
  for: ['for', '已持续'],
  fromTo: ['from → to', '从 → 到'],
  help: ['keys', '按键'],
  hold: ['hold', '停放'],
  id: ['name', '名称'],
  language: ['中文', 'English'],
  light: ['light', '浅色'],
  log: ['Transitions', '转移'],
  moment: ['moment', '时刻'],
  neverSeen: ['No transition has been seen yet.', '尚未看到任何转移。'],
  noTrips: ['No round trip has been measured yet.', '尚未测得往返时间。'],
  notConnected: ['not connected', '未连接'],
  openTrace: ['open trace', '打开轨迹'],
  pause: ['pause', '暂停'],
  predecessor: ['predecessor', '前任'],
  successor: ['successor', '后继'],
  paused: ['paused', '已暂停'],
  play: ['play', '播放'],
  reading: ['reading', '正在读取'],
  refused: ['The token was refused. Open the address that the process printed.', '令牌被拒绝。请打开进程打印的地址。'],
  malformed: ['The process did not understand this page: the versions differ.', '进程无法理解本页面：版本不一致。'],
  resume: ['resume', '恢复'],
  retry: ['retry now', '立即重试'],
  roundTrip: ['Round trip', '往返时间'],
  secondTrace: ['compare with another', '与另一个比较'],
  sort: ['sort', '排序'],
  sortFor: ['by how long', '按持续时间'],
  sortId: ['by name', '按名称'],
  sortState: ['by state', '按状态'],
  speed: ['speed', '速度'],
  state: ['state', '状态'],
  step: ['step', '单步'],
  stepBack: ['step back', '后退一步'],
  stop: ['stop', '停止'],
  system: ['as the system', '跟随系统'],
  theme: ['colours', '配色'],
  trace: ['trace', '轨迹'],
  traceBroken: ['The file could not be read to its end', '文件未能读到结尾'],
  traceEmpty: ['There is no transition in this file.', '文件中没有转移记录。'],
  why: ['Why, and what next', '为什么，接下来'],
  keyFilter: ['filter links', '筛选连接'],
  keyMove: ['next and previous link', '下一个、上一个连接'],
  keyGrid: ['go to the grid', '转到网格'],
  keyTimeline: ['go to the timeline', '转到时间线'],
  keyChart: ['enlarge the chart, or back', '放大状态图，或还原'],
  keyArrows: ['in the grid: move between links', '网格中：在连接之间移动'],
  keyZoom: ['in the timeline: zoom in and out', '时间线中：放大、缩小'],
  keyPan: ['in the timeline: earlier and later', '时间线中：向前、向后'],
  keyFollow: ['in the timeline: follow again', '时间线中：恢复跟随'],
  keyPause: ['pause; in a trace: play', '暂停；在轨迹中：播放'],
  keyStep: ['in a trace: one transition back, one on', '轨迹中：后退、前进一步'],
  keyEscape: ['leave a filter', '离开筛选框'],
  space: ['space', '空格'],
  signs: ['Signs', '符号'],
  keyHelp: ['show the keys', '显示按键'],
} as const satisfies Record<string, readonly [en: string, zh: string]>

export type Word = keyof typeof words

export const language = signal<Language>(
  remembered('language', ['en', 'zh']) ?? (navigator.language.startsWith('zh') ? 'zh' : 'en'),
)
export const word = (key: Word): string => words[key][language.value === 'zh' ? 1 : 0]

/** A word with a place for each value: `{}`. */
export const fill = (key: Word, ...values: readonly string[]): string => {
  const parts = word(key).split('{}')
  return parts.map((part, i) => (i < parts.length - 1 ? part + (values[i] ?? '') : part)).join('')
}

/** What is counted: one of it, many of it, and in Chinese. */
const numbered = {
  dropped: ['earlier transition was dropped', 'earlier transitions were dropped', '条较早的转移已丢弃'],
  lines: ['line', 'lines', '行'],
  links: ['link', 'links', '个连接'],
  lostLines: [
    'line is no transition and was left out',
    'lines are no transitions and were left out',
    '行不是转移记录，已略过',
  ],
  newer: ['more since', 'more since', '条新的'],
  perSecond: ['transition/s', 'transitions/s', '次转移/秒'],
  transitions: ['transition', 'transitions', '条转移'],
  unwritten: [
    'transition was not written: the disk did not keep up',
    'transitions were not written: the disk did not keep up',
    '条转移未写入：磁盘未能跟上',
  ],
} as const satisfies Record<string, readonly [one: string, many: string, zh: string]>

export const counted = (count: number, key: keyof typeof numbered): string =>
  `${count} ${numbered[key][language.value === 'zh' ? 2 : count === 1 ? 0 : 1]}`

const states: Record<string, readonly [en: string, zh: string, short: string]> = {
  resolving: ['looks for the peer', '正在查找对端', '查找'],
  connecting: ['opens a socket', '正在打开套接字', '连接'],
  handshaking: ['connected, waits for the welcome', '已连接，等待对端欢迎', '握手'],
  registered: ['welcomed, catches up on what it missed', '已被接纳，正在补齐消息', '已接纳'],
  live: ['all is well', '一切正常', '在线'],
  'degraded.suspect': ['a heartbeat went unanswered', '心跳未获应答', '存疑'],
  'degraded.impaired': ['connected, but the account behind it is not well', '已连接，但账号功能受损', '受损'],
  backoff: ['waits before the next dial', '等待下一次拨号', '等待重拨'],
  closing: ['delivers what waits, then says goodbye', '送达待发消息，然后道别', '关闭中'],
  parked: ['waits for a person', '等待人工处理', '停放'],
  stopped: ['has ended for good', '已永久结束', '已停止'],
}

export const stateMeaning = (state: string): string =>
  Object.hasOwn(states, state) ? states[state]![language.value === 'zh' ? 1 : 0] : ''

/** The chart's own names stay what they are; Chinese readers get the meaning beside them. */
export const stateWord = (state: string): string =>
  language.value === 'zh' && Object.hasOwn(states, state) ? `${state} ${states[state]![2]}` : state

const units = { en: ['s', 'min', 'h', 'd'], zh: ['秒', '分', '小时', '天'] } as const

/** 83_000 as `1 min 23 s`: two units, as somebody would say it. */
export const lasting = (ms: number): string => {
  const [second, minute, hour, day] = units[language.value]
  const s = Math.max(0, ms) / 1000
  if (s < 10) return `${s.toFixed(1)} ${second}`
  if (s < 60) return `${Math.floor(s)} ${second}`
  if (s < 3600) return `${Math.floor(s / 60)} ${minute} ${Math.floor(s % 60)} ${second}`
  if (s < 86_400) return `${Math.floor(s / 3600)} ${hour} ${Math.floor((s % 3600) / 60)} ${minute}`
  return `${Math.floor(s / 86_400)} ${day} ${Math.floor((s % 86_400) / 3600)} ${hour}`
}

const pad = (value: number, width = 2): string => String(value).padStart(width, '0')

/** The time of day where the reader is, or what there is instead of one. */
export const clockTime = (at: number): string => {
  const date = new Date(at)
  if (Number.isNaN(date.getTime())) return '–'
  return `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}.${pad(date.getMilliseconds(), 3)}`
}
