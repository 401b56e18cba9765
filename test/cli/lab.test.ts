/** The lab in a terminal: it waits for a person between two faults, and one key is an answer. */
import { describe, expect, test } from 'vitest'
import { hasTerminal, terminal } from './terminal.ts'

const title = hasTerminal
  ? 'the lab in a terminal'
  : 'the lab in a terminal (left out: there is no script, package util-linux)'

describe.skipIf(!hasTerminal)(title, () => {
  test('Enter plays the next fault, q is enough, and what was played is summed up', async () => {
    const { text, press, ended } = await terminal(['lab', 'upgrade-401', 'closed-after-welcome', 'killed'], {
      program: 'dist/cli.mjs',
    })
    const shows = (what: string) => expect.poll(text, { timeout: 30_000 }).toContain(what)
    await shows('Enter: next fault')
    expect(text()).toMatch(/http:\/\/127\.0\.0\.1:\d+\/#token=/)
    press('\r')
    await shows('2/3')
    await expect.poll(() => text().split('Enter: next fault').length, { timeout: 30_000 }).toBe(3)
    press('q')
    expect(await ended).toBe(0)
    expect(text()).not.toContain('3/3')
    expect(text()).toContain('live after return')
  })
})
