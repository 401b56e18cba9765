/**
 * The picture of the link: the way to `live` runs from left to right along one line, what went wrong hangs below it, and
 * all failures fall into one long basin.
 */
import { along, at, box, down, type Layout, state } from './layout.ts'

/** Heights that several parts share. */
const rowTop = 196
const rowBottom = 248
const basinTop = 690
const basinBottom = 742
const deadlines = 592

const session = 'attached.session'
const registered = 'attached.session.registered'
const live = 'attached.session.live'
const degraded = 'attached.session.degraded'
const suspect = 'attached.session.degraded.suspect'
const impaired = 'attached.session.degraded.impaired'
const closing = 'attached.closing'

export const linkLayout: Layout = {
  width: 1282,
  height: 796,
  states: {
    resolving: state('way', 34, rowTop, 170, rowBottom),
    'attached.connecting': state('way', 332, rowTop, 440, rowBottom),
    'attached.handshaking': state('way', 562, rowTop, 682, rowBottom),
    [registered]: state('way', 818, rowTop, 930, rowBottom),
    [live]: state('live', 1054, rowTop, 1192, rowBottom),
    [impaired]: state('worse', 858, 382, 974, 430),
    [suspect]: state('worse', 1100, 382, 1204, 430),
    [closing]: state('end', 1100, 558, 1212, 606),
    backoff: state('wait', 34, basinTop, 1042, basinBottom),
    parked: state('person', 34, 40, 170, 92),
    stopped: state('end', 1100, basinTop, 1212, basinBottom),
  },
  frames: {
    attached: box(300, 136, 1266, 622),
    [session]: box(792, 150, 1250, 520),
    [degraded]: { ...box(842, 352, 1240, 494), title: at(1006, 371) },
  },
  initials: [
    { from: at(12, 222), to: at(34, 222) },
    { from: at(310, 222), to: at(332, 222) },
    { from: at(801, 222), to: at(818, 222) },
  ],
  lines: {
    'resolving>attached': { ...along(222, 170, 300, { x: 233, y: 213 }), main: true },
    'attached.connecting>attached.handshaking': { ...along(222, 440, 562, { x: 501, y: 213 }), main: true },
    [`attached.handshaking>${session}`]: { ...along(222, 682, 792, { x: 735, y: 213 }), main: true },
    [`${registered}>${live}`]: { ...along(222, 930, 1054, { x: 990, y: 213 }), main: true },

    'resolving>parked': down(60, rowTop, 92, { x: 60, y: 124 }),
    'parked>resolving': down(144, 92, rowTop, { x: 144, y: 170 }),
    'attached>parked': {
      points: [at(350, 136), at(350, 66), at(170, 66)],
      label: { x: 272, y: 57, oneLine: true },
    },

    'resolving>backoff': down(60, rowBottom, basinTop, { x: 60, y: 400 }),
    'backoff>resolving': down(144, basinTop, rowBottom, { x: 144, y: 500 }),
    'attached.connecting>backoff': down(386, rowBottom, basinTop, { x: 386, y: deadlines }),
    'attached.handshaking>backoff': down(622, rowBottom, basinTop, { x: 622, y: deadlines }),
    'attached>backoff': down(725, 622, basinTop, { x: 725, y: 660 }),
    [`${registered}>backoff`]: down(828, rowBottom, basinTop, { x: 828, y: deadlines }),
    [`${session}>backoff`]: down(920, 520, basinTop, { x: 920, y: 558 }),
    [`${suspect}>backoff`]: {
      points: [at(1112, 430), at(1112, 507), at(1012, 507), at(1012, basinTop)],
      label: { x: 1012, y: deadlines },
    },

    [`${registered}>${impaired}`]: down(888, rowBottom, 382, { x: 888, y: 326 }),
    [`${live}>${impaired}`]: {
      points: [at(1074, rowBottom), at(1074, 277), at(948, 277), at(948, 382)],
      label: { x: 1011, y: 270 },
    },
    [`${impaired}>${live}`]: {
      points: [at(966, 382), at(966, 307), at(1096, 307), at(1096, rowBottom)],
      label: { x: 1031, y: 300 },
    },
    [`${live}>${suspect}`]: down(1122, rowBottom, 382, { x: 1112, y: 338 }),
    [`${suspect}>${live}`]: down(1174, 382, rowBottom, { x: 1174, y: 288 }),
    [`${impaired}>${suspect}`]: along(399, 974, 1100, { x: 1035, y: 392 }),
    [`${suspect}>${impaired}`]: along(413, 1100, 974, { x: 1039, y: 429 }),
    [`${live}>${live}`]: {
      points: [at(1102, rowTop), at(1102, 177), at(1144, 177), at(1144, rowTop)],
      label: { x: 1123, y: 170 },
    },
    [`${impaired}>${impaired}`]: {
      points: [at(876, 430), at(876, 452), at(900, 452), at(900, 430)],
      label: { x: 890, y: 468, anchor: 'start' },
    },
    [`${suspect}>${suspect}`]: {
      points: [at(1162, 430), at(1162, 452), at(1186, 452), at(1186, 430)],
      label: { x: 1122, y: 468, anchor: 'start' },
    },

    [`${session}>${closing}`]: down(1156, 520, 558, { x: 1148, y: 543, anchor: 'end' }),
    [`${closing}>stopped`]: down(1156, 606, basinTop, { x: 1148, y: 644, anchor: 'end' }),
  },
  everywhere: box(740, 40, 1250, 100),
  legend: at(34, 776),
}
