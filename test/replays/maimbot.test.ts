import { expect, test } from 'vitest'
import { maimbot } from './maimbot.ts'

test('incident 2.1 and 2.4 replayed: one leg is cut, the loop is blocked, and the other leg is held', async () => {
  const [naive, holdfast] = await Promise.all([maimbot.naive(), maimbot.holdfast()])
  expect(naive).toMatchObject({ recovered: false, recoveredMs: null })
  expect(naive.note).toContain('the process ended')
  expect(naive.lost).toBeGreaterThan(0)
  expect(holdfast, holdfast.note).toMatchObject({ recovered: true, lost: 0 })
  expect(holdfast.note).toContain("NapCat's leg closed 0 times; the process lives")
})
