const { createActor, createMachine } = require('xstate')

const lamp = createMachine({ id: 'lamp', initial: 'off', states: { off: { on: { PRESS: 'on' } }, on: {} } })

module.exports = {
  lamp,
  actor: createActor(lamp),
  old: { __xstatenode: true, states: {} },
  number: 7,
}
