/** Every word of the page in both languages. Sentences about faults come from the table of faults. */
import { signal } from '@preact/signals'
import type { Language } from '../src/explain.ts'

const words = {
  adapter: ['adapter', '适配器'],
  actions: ['Orders', '操作'],
  all: ['all', '全部'],
  answered: ['done', '已完成'],
  at: ['time', '时间'],
  attempt: ['attempt', '次数'],
  bands: ['Timeline', '时间线'],
  bandsKeys: [
    'Wheel or W S zoom, drag or A D move, up and down choose a link, F follows again.',
    '滚轮或 W S 缩放，拖动或 A D 平移，上下键选择连接，F 恢复跟随。',
  ],
  because: ['why', '原因'],
  causes: ['causes in the last minute', '最近一分钟的原因'],
  chart: ['Chart', '状态图'],
  choose: ['Choose a link to see where it is and why.', '选择一个连接，查看其状态和原因。'],
  close: ['close', '关闭'],
  closeTrace: ['back to live', '返回实时'],
  connecting: ['connecting …', '正在连接…'],
  copied: ['copied', '已复制'],
  copy: ['copy diagnosis', '复制诊断'],
  copyByHand: [
    'The browser does not let this page copy. Copy it from here:',
    '浏览器不允许本页复制，请从这里手动复制：',
  ],
  dark: ['dark', '深色'],
  delay: ['delay', '延迟'],
  dropHere: ['Drop a trace here, or choose it.', '将轨迹文件拖到这里，或选择文件。'],
  dropped: ['earlier transitions were dropped', '条较早的转移已丢弃'],
  event: ['event', '事件'],
  faultPanel: ['Break something (the lab’s own peer)', '制造故障（仅限实验室自带对端）'],
  filter: ['filter', '筛选'],
  filterLinks: ['filter links', '筛选连接'],
  filterLog: ['filter transitions', '筛选转移'],
  follow: ['follow', '跟随'],
  fleet: ['Links', '连接'],
  fleetKeys: ['Arrow keys move between links.', '方向键在连接之间移动。'],
  for: ['for', '已持续'],
  fromTo: ['from → to', '从 → 到'],
  help: ['keys', '按键'],
  hold: ['hold', '暂停'],
  id: ['name', '名称'],
  language: ['中文', 'English'],
  light: ['light', '浅色'],
  links: ['links', '个连接'],
  live: ['live view', '实时'],
  log: ['Transitions', '转移'],
  lostLines: ['lines are no transitions and were left out', '行不是转移记录，已略过'],
  moment: ['moment', '时刻'],
  neverSeen: ['No transition has been seen yet.', '尚未看到任何转移。'],
  newer: ['more since', '条新的'],
  noTrips: ['No round trip has been measured yet.', '尚未测得往返时间。'],
  none: ['Nothing fits the filter.', '没有符合筛选的连接。'],
  notConnected: ['not connected', '未连接'],
  openTrace: ['open trace', '打开轨迹'],
  pause: ['pause', '暂停'],
  paused: ['paused', '已暂停'],
  perSecond: ['transitions/s', '次转移/秒'],
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
  stale: ['Not connected: this is how it was', '未连接：这是此前的状态，距今'],
  staleAgain: ['ago. Next try in', '。再次尝试于'],
  state: ['state', '状态'],
  step: ['step', '单步'],
  stepBack: ['step back', '后退一步'],
  stop: ['stop', '停止'],
  system: ['as the system', '跟随系统'],
  table: ['The first 200 links that fit', '符合条件的前 200 个连接'],
  theme: ['colours', '配色'],
  trace: ['trace', '轨迹'],
  traceBroken: ['The file could not be read to its end', '文件未能读到结尾'],
  unwritten: ['transitions were not written: the disk did not keep up', '条转换未写入：磁盘未能跟上'],
  traceCut: ['A damaged tail was cut: lines', '已截去损坏的结尾，行数'],
  traceEmpty: ['There is no transition in this file.', '文件中没有转移记录。'],
  trouble: ['trouble', '异常'],
  why: ['Why, and what next', '为什么，接下来'],
  keyFilter: ['filter links', '筛选连接'],
  keyMove: ['next and previous link', '下一个、上一个连接'],
  keyGrid: ['go to the grid', '转到网格'],
  keyTimeline: ['go to the timeline', '转到时间线'],
  keyPause: ['pause, or play a trace', '暂停，或播放轨迹'],
  keyHelp: ['show the keys', '显示按键'],
} as const satisfies Record<string, readonly [en: string, zh: string]>

export type Word = keyof typeof words

export const language = signal<Language>(navigator.language.startsWith('zh') ? 'zh' : 'en')
export const word = (key: Word): string => words[key][language.value === 'zh' ? 1 : 0]

const states: Record<string, string> = {
  resolving: '查找',
  connecting: '连接',
  handshaking: '握手',
  registered: '已接纳',
  live: '在线',
  'degraded.suspect': '存疑',
  'degraded.impaired': '受损',
  backoff: '等待重拨',
  closing: '关闭中',
  parked: '停放',
  stopped: '已停止',
}

/** The chart's own names stay what they are; Chinese readers get the meaning beside them. */
export const stateWord = (state: string): string =>
  language.value === 'zh' && Object.hasOwn(states, state) ? `${state} ${states[state]}` : state

/** 83_000 as `1 min 23 s`: two units, as somebody would say it. */
export const lasting = (ms: number): string => {
  const s = Math.max(0, ms) / 1000
  if (s < 10) return `${s.toFixed(1)} s`
  if (s < 60) return `${Math.floor(s)} s`
  if (s < 3600) return `${Math.floor(s / 60)} min ${Math.floor(s % 60)} s`
  if (s < 86_400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`
  return `${Math.floor(s / 86_400)} d ${Math.floor((s % 86_400) / 3600)} h`
}

const pad = (value: number, width = 2): string => String(value).padStart(width, '0')

/** The time of day where the reader is, or what there is instead of one. */
export const clockTime = (at: number): string => {
  const date = new Date(at)
  if (Number.isNaN(date.getTime())) return '–'
  return `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}.${pad(date.getMilliseconds(), 3)}`
}
