/** Incident 1, both ways. */
import { expect, test } from 'vitest'
import { koishi } from './koishi.ts'

test('the incident of Koishi: its adapter asks once and never again; our link comes back, and nothing is lost', async () => {
  const [naive, holdfast] = await Promise.all([koishi.naive(), koishi.holdfast()])
  console.log(`${koishi.fault}\nnaive: ${naive.note}\nholdfast: ${holdfast.note}`)
  expect(naive).toMatchObject({ recovered: false, recoveredMs: null, lost: 3 })
  expect(holdfast).toMatchObject({ recovered: true, lost: 0 })
  expect(holdfast.attempts).toBeLessThan(60)
}, 60_000)
