/**
 * The picture of a service: from `waiting` to `running` along one line; what stops it for a while stands below, what ends
 * it or leaves it to a person on the right.
 */
import { along, at, box, down, type Layout, state } from './layout.ts'

const starting = 'active.starting'
const running = 'active.running'

export const serviceLayout: Layout = {
  width: 1200,
  height: 700,
  states: {
    waiting: state('wait', 34, 130, 170, 182),
    [starting]: state('way', 370, 130, 490, 182),
    [running]: state('live', 690, 130, 810, 182),
    parked: state('person', 1010, 130, 1170, 182),
    stopping: state('worse', 700, 290, 880, 342),
    closing: state('end', 1010, 290, 1120, 342),
    withdrawing: state('worse', 420, 390, 560, 442),
    backoff: state('wait', 34, 510, 640, 562),
    stopped: state('end', 1010, 510, 1120, 562),
  },
  frames: { active: box(320, 90, 900, 240) },
  initials: [
    { from: at(12, 156), to: at(34, 156) },
    { from: at(348, 156), to: at(370, 156) },
  ],
  lines: {
    'waiting>active': { ...along(156, 170, 320, { x: 245, y: 147 }), main: true },
    [`${starting}>${running}`]: { ...along(156, 490, 690, { x: 590, y: 147 }), main: true },
    [`${running}>${running}`]: {
      points: [at(735, 130), at(735, 112), at(775, 112), at(775, 130)],
      label: { x: 786, y: 116, anchor: 'start' },
    },

    'parked>waiting': {
      points: [at(1140, 130), at(1140, 24), at(80, 24), at(80, 130)],
      label: { x: 700, y: 17 },
    },
    [`${starting}>parked`]: {
      points: [at(478, 130), at(478, 60), at(1060, 60), at(1060, 130)],
      label: { x: 640, y: 53, oneLine: true },
    },
    [`${running}>parked`]: along(156, 810, 1010, { x: 908, y: 148, oneLine: true }),
    'withdrawing>parked': {
      points: [at(560, 410), at(1150, 410), at(1150, 182)],
      label: { x: 790, y: 388 },
    },

    [`${running}>stopping`]: down(750, 182, 290, { x: 750, y: 272 }),
    'active>stopping': down(856, 240, 290, { x: 856, y: 260 }),
    'stopping>waiting': { points: [at(700, 316), at(150, 316), at(150, 182)], label: { x: 250, y: 296 } },

    [`${starting}>withdrawing`]: down(450, 182, 390, { x: 450, y: 214 }),
    'active>withdrawing': down(530, 240, 390, { x: 530, y: 268, oneLine: true }),
    [`${starting}>backoff`]: down(394, 182, 510, { x: 394, y: 360 }),
    'withdrawing>backoff': down(490, 442, 510, { x: 490, y: 480 }),
    [`${running}>backoff`]: {
      points: [at(706, 182), at(706, 262), at(610, 262), at(610, 510)],
      label: { x: 610, y: 360 },
    },
    'waiting>backoff': down(122, 182, 510, { x: 122, y: 450 }),
    'backoff>waiting': down(60, 510, 182, { x: 60, y: 400 }),

    'active>closing': {
      points: [at(900, 220), at(1080, 220), at(1080, 290)],
      label: { x: 985, y: 212, oneLine: true },
    },
    'stopping>closing': along(308, 880, 1010, { x: 945, y: 328 }),
    'withdrawing>closing': {
      points: [at(560, 430), at(1040, 430), at(1040, 342)],
      label: { x: 790, y: 446, oneLine: true },
    },
    'closing>stopped': down(1090, 342, 510, { x: 1090, y: 480 }),
  },
  everywhere: box(34, 590, 640, 650),
  legend: at(34, 684),
}
