/**
 * The picture of a lease: from `looking` to `serving` along one line, with who stands by below it; what leaves `owned` goes
 * back over the top, falls into the basin, or is handed over on the right.
 */
import { along, at, box, down, type Layout, state } from './layout.ts'

const serving = 'owned.serving'
const yielding = 'owned.yielding'
const closing = 'owned.closing'

export const leaseLayout: Layout = {
  width: 1240,
  height: 760,
  states: {
    looking: state('way', 34, 130, 190, 182),
    claiming: state('way', 470, 130, 630, 182),
    [serving]: state('live', 800, 130, 960, 182),
    standby: state('wait', 290, 290, 430, 342),
    [yielding]: state('worse', 840, 340, 970, 392),
    [closing]: state('end', 1070, 340, 1190, 392),
    backoff: state('wait', 90, 510, 720, 562),
    aside: state('wait', 840, 510, 970, 562),
    stopped: state('end', 1070, 510, 1190, 562),
  },
  frames: { owned: { ...box(760, 90, 1215, 430), title: at(1060, 112) } },
  initials: [
    { from: at(12, 156), to: at(34, 156) },
    { from: at(778, 156), to: at(800, 156) },
  ],
  lines: {
    'looking>claiming': { ...along(150, 190, 470, { x: 330, y: 141 }), main: true },
    'claiming>owned': { ...along(156, 630, 760, { x: 694, y: 147 }), main: true },
    [`${serving}>${serving}`]: {
      points: [at(890, 130), at(890, 112), at(935, 112), at(935, 130)],
      label: { x: 946, y: 116, anchor: 'start' },
    },

    'looking>standby': {
      points: [at(190, 170), at(360, 170), at(360, 290)],
      label: { x: 360, y: 235 },
    },
    'standby>standby': {
      points: [at(290, 302), at(266, 302), at(266, 330), at(290, 330)],
      label: { x: 258, y: 320, anchor: 'end' },
    },
    'standby>claiming': {
      points: [at(430, 316), at(500, 316), at(500, 182)],
      label: { x: 500, y: 240 },
    },

    [`${serving}>looking`]: {
      points: [at(830, 130), at(830, 36), at(80, 36), at(80, 130)],
      label: { x: 455, y: 29 },
    },

    'looking>backoff': down(166, 182, 510, { x: 166, y: 400 }),
    'backoff>looking': down(116, 510, 182, { x: 116, y: 260 }),
    'standby>backoff': down(360, 342, 510, { x: 360, y: 440 }),
    'claiming>backoff': down(590, 182, 510, { x: 590, y: 340 }),
    [`${serving}>backoff`]: {
      points: [at(826, 182), at(826, 250), at(690, 250), at(690, 510)],
      label: { x: 690, y: 400 },
    },

    [`${serving}>${yielding}`]: down(905, 182, 340, { x: 905, y: 270 }),
    [`${serving}>${closing}`]: {
      points: [at(960, 156), at(1130, 156), at(1130, 340)],
      label: { x: 1130, y: 250 },
    },
    [`${yielding}>${closing}`]: along(366, 970, 1070, { x: 1019, y: 357 }),
    [`${yielding}>aside`]: down(905, 392, 510, { x: 905, y: 470 }),
    [`${closing}>stopped`]: down(1130, 392, 510, { x: 1130, y: 470 }),
    'aside>looking': {
      points: [at(905, 562), at(905, 620), at(60, 620), at(60, 182)],
      label: { x: 905, y: 588 },
    },
  },
  everywhere: box(90, 646, 720, 706),
  legend: at(34, 740),
}
