/** The options of a link: what is wrong is refused at once, by its name, with what it got and what it wants. */
import { describe, expect, it } from 'vitest'
import { isHoldfastError } from '../src/error.ts'
import { heartbeatDefaults } from '../src/heartbeat.ts'
import { inboundDefaults } from '../src/inbound.ts'
import { connect } from '../src/link.ts'
import { checkOptions, type LinkOptions } from '../src/options.ts'
import { outboxDefaults } from '../src/outbox/outbox.ts'
import { heapClock } from '../src/testing/heap-clock.ts'
import { smallTalk } from './small-talk.ts'

const clock = heapClock()
const nothing = (): void => undefined

/** The message of the usage error that comes of it. */
const refusal = (options: unknown): string => {
  try {
    connect(smallTalk(), options as LinkOptions)
  } catch (error) {
    if (isHoldfastError(error) && error.code === 'bad-option') return error.message
    throw error
  }
  throw new Error('they were accepted')
}

const WHOLE = 'it must be a whole number from 1 to'

describe('bad options', () => {
  it.each([
    [null, 'The option "options" is null; it must be an object.'],
    ['x', 'The option "options" is a string; it must be an object.'],
    [[], 'The option "options" is an array; it must be an object.'],
    [{ ID: 'x' }, /^"ID" is not one of the options\. Known are: id, signal, deadlines, heartbeat, outbox/],
    [{ reconnect: true }, /^"reconnect" is not one of the options/],
    [{ id: '' }, 'The option "id" is a string; it must be a string of 1 to 128 characters.'],
    [{ id: 7 }, 'The option "id" is the number 7; it must be a string of 1 to 128 characters.'],
    [{ id: 'x'.repeat(129) }, /^The option "id" is a string/],
    [{ signal: {} }, 'The option "signal" is an object; it must be an AbortSignal.'],
    [{ signal: new AbortController() }, /^The option "signal" is an object; it must be an AbortSignal/],
    [{ deadlines: 5 }, 'The option "deadlines" is the number 5; it must be an object.'],
    [{ deadlines: { connectMS: 5 } }, /^"connectMS" is not one of the deadlines\. Known are: resolveMs, connectMs/],
    [{ deadlines: { connectMs: 0 } }, `The option "deadlines.connectMs" is the number 0; ${WHOLE} 2147483647.`],
    [{ deadlines: { connectMs: -1 } }, /"deadlines.connectMs" is the number -1/],
    [{ deadlines: { connectMs: 1.5 } }, /"deadlines.connectMs" is the number 1.5/],
    [{ deadlines: { connectMs: Number.NaN } }, /"deadlines.connectMs" is the number NaN/],
    [{ deadlines: { connectMs: Number.POSITIVE_INFINITY } }, /is the number Infinity/],
    [{ deadlines: { connectMs: 2 ** 31 } }, /is the number 2147483648/],
    [{ deadlines: { connectMs: '10' } }, /"deadlines.connectMs" is a string; it must be a whole number/],
    [{ deadlines: { graceMs: null } }, /"deadlines.graceMs" is null/],
    [{ heartbeat: null }, 'The option "heartbeat" is null; it must be an object.'],
    [{ heartbeat: { intervalMs: 1 } }, /^"intervalMs" is not one of the heartbeat\. Known are: quietMs/],
    [{ heartbeat: { deafMs: 0 } }, `The option "heartbeat.deafMs" is the number 0; ${WHOLE} 2147483647.`],
    [{ heartbeat: { quietMs: 0 } }, /"heartbeat.quietMs" is the number 0/],
    [{ heartbeat: { answerMaxMs: 1e12 } }, /"heartbeat.answerMaxMs" is the number 1000000000000/],
    [
      { heartbeat: { answerMinMs: 5_000 } },
      /"heartbeat.answerMinMs" is the number 5000; it must be at most .*answerMaxMs/,
    ],
    [{ outbox: [] }, 'The option "outbox" is an array; it must be an object.'],
    [{ outbox: { messagesMax: 0 } }, /"outbox.messagesMax" is the number 0/],
    [{ outbox: { bytesMax: true } }, /"outbox.bytesMax" is true/],
    [{ inbound: [] }, 'The option "inbound" is an array; it must be an object.'],
    [
      { inbound: { max: 1 } },
      /^"max" is not one of the inbound\. Known are: messagesMax, whenFull, dedupeMax, dedupeMs\.$/,
    ],
    [{ inbound: { messagesMax: 0 } }, /"inbound.messagesMax" is the number 0/],
    [{ inbound: { dedupeMax: 1e9 } }, `The option "inbound.dedupeMax" is the number 1000000000; ${WHOLE} 1000000.`],
    [{ inbound: { dedupeMs: 1e9 } }, `The option "inbound.dedupeMs" is the number 1000000000; ${WHOLE} 86400000.`],
    [
      { inbound: { whenFull: 'block' } },
      'The option "inbound.whenFull" is a string; it must be "drop-oldest" or "drop-newest".',
    ],
    [{ outbox: { backlogPerSecond: 0 } }, /"outbox.backlogPerSecond" is the number 0/],
    [{ outbox: { whenFull: 'block' } }, /"outbox.whenFull" is a string; it must be "reject" or "drop-oldest"/],
    [
      { outbox: { whenFul: 'reject' } },
      /^"whenFul" is not one of the outbox\. Known are: .*backlogPerSecond, whenFull/,
    ],
    [{ maxPayloadBytes: '16mb' }, /"maxPayloadBytes" is a string/],
    [{ perMessageDeflate: 'yes' }, 'The option "perMessageDeflate" is a string; it must be true or false.'],
    [{ recordsMax: -5 }, /"recordsMax" is the number -5/],
    [{ lookup: 'dns' }, 'The option "lookup" is a string; it must be a function.'],
    [
      { logger: 'console' },
      /^The option "logger" is a string; it must be console, or an object with .*info, warn, error/,
    ],
    [{ logger: { warn: () => undefined } }, /^The option "logger" is an object; it must be console/],
    [{ logLanguage: 'de' }, 'The option "logLanguage" is a string; it must be "en" or "zh".'],
    [{ fallback: { afterMs: 5 } }, 'The option "fallback.send" is undefined; it must be a function.'],
    [
      { fallback: { send: nothing, afterMs: 0 } },
      `The option "fallback.afterMs" is the number 0; ${WHOLE} 2147483647.`,
    ],
    [{ fallback: { send: nothing, after: 5 } }, /^"after" is not one of the fallback\. Known are: afterMs, send/],
    [{ onParked: {} }, 'The option "onParked" is an object; it must be a function.'],
    [{ transport: {} }, 'The option "transport" is an object; it must be a function.'],
    [{ clock: {} }, /^The option "clock" is an object; it must be .*now, wall, random, setTimeout, clearTimeout/],
    [{ clock: 'real' }, /^The option "clock" is a string/],
    [{ clock: { ...clock, random: 0.5 } }, /^The option "clock" is an object; it must be/],
  ])('%j: refused by name', (options, problem) => {
    expect(refusal(options)).toMatch(problem)
  })

  it('are refused before anything was started', () => {
    const dialed: unknown[] = []
    const transport = () => () => {
      dialed.push(1)
      return () => undefined
    }
    expect(refusal({ clock, transport, deadlines: { connectMs: 0 } })).toContain('connectMs')
    expect({ dialed, timers: clock.pending }).toEqual({ dialed: [], timers: 0 })
  })
})

describe('good options', () => {
  it('have defaults for all that is left out, also where undefined was given', () => {
    const some = { deadlines: { connectMs: 5, tlsMs: undefined }, heartbeat: {}, outbox: undefined, id: undefined }
    const checked = checkOptions(some as unknown as LinkOptions, 'onebot')
    expect(checked).toMatchObject({
      id: expect.stringMatching(/^onebot-[0-9a-f]{4}$/),
      inbound: inboundDefaults,
      maxPayloadBytes: 16 * 1024 * 1024,
      perMessageDeflate: false,
      recordsMax: 256,
      heartbeat: heartbeatDefaults,
      outbox: outboxDefaults,
    })
    expect(checked.deadlines).toEqual({
      resolveMs: 10_000,
      connectMs: 5,
      tlsMs: 10_000,
      upgradeMs: 10_000,
      handshakeMs: 15_000,
      resumeMs: 10_000,
      replayMs: 15_000,
      graceMs: 2_000,
      provenMs: 120_000,
      closeMs: 3_000,
    })
  })

  it('are kept as they are, and not changed', () => {
    const options = Object.freeze({
      id: 'bot',
      clock,
      deadlines: Object.freeze({ closeMs: 1 }),
      outbox: Object.freeze({ messagesMax: 1, whenFull: 'drop-oldest' as const }),
    })
    const checked = checkOptions(options, 'x')
    const outbox = { ...outboxDefaults, messagesMax: 1, whenFull: 'drop-oldest' }
    expect(checked).toMatchObject({ id: 'bot', clock, deadlines: { closeMs: 1 }, outbox })
  })

  it('take a clock whose functions are inherited', () => {
    const heir = Object.create(clock)
    expect(checkOptions({ clock: heir }, 'x').clock).toBe(heir)
  })
})
