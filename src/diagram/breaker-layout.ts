/** The picture of the breaker: the round that an endpoint makes which fails and comes back, with `closed` at its start. */
import { along, at, box, down, type Layout, state } from './layout.ts'

const inviting = 'ramping.inviting'

export const breakerLayout: Layout = {
  width: 1130,
  height: 510,
  states: {
    closed: state('live', 34, 100, 174, 152),
    probing: state('wait', 420, 100, 580, 152),
    open: state('worse', 420, 340, 580, 392),
    [inviting]: state('way', 790, 280, 920, 332),
  },
  frames: { ramping: box(760, 226, 1110, 406) },
  initials: [
    { from: at(12, 126), to: at(34, 126) },
    { from: at(769, 306), to: at(790, 306) },
  ],
  lines: {
    'closed>closed': {
      points: [at(90, 100), at(90, 78), at(134, 78), at(134, 100)],
      label: { x: 112, y: 68 },
    },
    'closed>probing': along(114, 174, 420, { x: 297, y: 105 }),
    'probing>closed': along(138, 420, 174, { x: 297, y: 156 }),
    'closed>open': { points: [at(70, 152), at(70, 380), at(420, 380)], label: { x: 262, y: 371 } },
    'open>closed': { points: [at(420, 354), at(134, 354), at(134, 152)], label: { x: 262, y: 345 } },
    'open>probing': down(450, 340, 152, { x: 450, y: 250 }),
    'probing>open': down(536, 152, 340, { x: 536, y: 224 }),
    'probing>ramping': {
      points: [at(580, 126), at(850, 126), at(850, 226)],
      label: { x: 700, y: 117 },
      main: true,
    },
    'open>ramping': along(356, 580, 760, { x: 670, y: 347 }),
    'ramping>open': along(378, 760, 580, { x: 670, y: 396 }),
    [`${inviting}>open`]: {
      points: [at(856, 332), at(856, 440), at(500, 440), at(500, 392)],
      label: { x: 676, y: 431 },
    },
    [`${inviting}>${inviting}`]: {
      points: [at(920, 296), at(950, 296), at(950, 318), at(920, 318)],
      label: { x: 962, y: 300, anchor: 'start' },
    },
    'ramping>closed': {
      points: [at(1000, 226), at(1000, 36), at(46, 36), at(46, 100)],
      label: { x: 600, y: 27, oneLine: true },
      main: true,
    },
  },
  legend: at(34, 488),
}
