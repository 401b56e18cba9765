/** What reconnecting leaves behind: nothing. The long version, with the heap, is `npm run bench leaks`. */
import { expect, test } from 'vitest'
import { Churn } from './churn.ts'

const RECONNECTS = 2_000

test('R82: R84: R95: after 2,000 reconnects, moves and refused resumes there is as much of a link as after ten', async () => {
  const churn = new Churn()
  const before = churn.left
  await churn.clock.advance(100)
  await churn.reconnect(10)
  const busy = churn.left.timers
  await churn.rest()
  const early = churn.left
  await churn.reconnect(RECONNECTS)
  expect(churn.left.timers).toBeLessThanOrEqual(busy + 2)
  await churn.rest()
  expect(churn.left).toEqual(early)
  expect(early.transports).toBe(1)
  const { resumed, started, moved } = churn.done
  expect(Math.min(resumed, started, moved)).toBeGreaterThan(RECONNECTS / 4)
  const { entered, delivered, uncertain, waiting } = churn.link.stats.outbox
  expect({ entered, waiting }).toEqual({ entered: RECONNECTS + 10, waiting: 0 })
  expect(delivered + uncertain).toBe(entered)
  expect(churn.link.recording.kept.length).toBeLessThanOrEqual(256)
  await churn.stop()
  expect(churn.left).toEqual({ ...before, timers: 0, transports: 0, abortListeners: 0 })
})

test('R07: R97: after stop() no timer, no transport and no listener on a signal or on the process is left', async () => {
  const listeners = process.eventNames().reduce((sum, name) => sum + process.listenerCount(name), 0)
  const churns = Array.from({ length: 20 }, () => new Churn())
  for (const churn of churns) await churn.clock.advance(100)
  for (const churn of churns) await churn.reconnect(5)
  for (const churn of churns) await churn.stop()
  for (const { left } of churns) {
    expect(left).toEqual({ timers: 0, transports: 0, abortListeners: 0, processListeners: listeners })
  }
})
