/** Tokens from providers that are slow, broken, hostile, or asked by many at once. */
import { describe, expect, it } from 'vitest'
import {
  type Credential,
  credential,
  type Token,
  type TokenProvider,
  type TokenQuestion,
} from '../../src/adapter/credential.ts'
import { HoldfastError } from '../../src/error.ts'
import { secret } from '../../src/secret.ts'
import { heapClock } from '../../src/testing/heap-clock.ts'
import { follow } from '../small-talk.ts'

const WHERE = 'own({ token })'
const TOKEN = 'canary-0123456789'
const never = new AbortController().signal
const tick = () => new Promise((resolve) => setImmediate(resolve))

/** A provider whose answers the test gives by hand, in any order. */
const byHand = () => {
  const asked: (TokenQuestion & { give: (given: unknown) => void; fail: (error: unknown) => void })[] = []
  const provider: TokenProvider = (question) =>
    new Promise((give, fail) => {
      asked.push({ ...question, give: give as (given: unknown) => void, fail })
    })
  return { asked, own: credential(provider, WHERE) }
}

const ask = (own: Credential, rejected?: boolean) => {
  const abort = new AbortController()
  const outcome = follow(own.get({ signal: abort.signal, ...(rejected !== undefined && { rejected }) }))
  return { outcome, abort: () => abort.abort() }
}

describe('a token that is given once', () => {
  it.each([TOKEN, secret(TOKEN)])('is given each time, and cannot be renewed', async (given) => {
    const own = credential(given, WHERE)
    expect(await own.get({ signal: never, rejected: true })).toEqual({ token: TOKEN })
    expect([own.isRenewable, own.latest]).toEqual([false, TOKEN])
  })

  it.each(['', 7, null, undefined, [], {}, 'two\nlines'])('is refused at once if it cannot be sent: %j', (given) => {
    expect(() => credential(given as Token, WHERE)).toThrow(/^own\(\{ token \}\) /)
  })
})

describe('a provider', () => {
  it('R26 Q7 is asked on every attempt, and told why', async () => {
    const questions: string[] = []
    const own = credential(({ because }) => {
      questions.push(because)
      return `${TOKEN}-${questions.length}`
    }, WHERE)
    expect(own.latest).toBeUndefined()
    for (const rejected of [undefined, false, true, undefined]) {
      await own.get({ signal: never, ...(rejected !== undefined && { rejected }) })
    }
    expect(questions).toEqual(['attempt', 'attempt', 'rejected', 'attempt'])
    expect([own.isRenewable, own.latest]).toEqual([true, `${TOKEN}-4`])
  })

  it('says when its token ends, by date or from when it was asked; the earlier counts', async () => {
    const clock = heapClock()
    const askedAt = clock.wall()
    const endOf = async (more: object) => {
      const provider = async () => {
        clock.advanceSync(500)
        return { token: secret(TOKEN), ...more }
      }
      const began = clock.wall()
      const { expiresAt, token } = await credential(provider, WHERE, { clock }).get({ signal: never })
      expect(token).toBe(TOKEN)
      return expiresAt === undefined ? undefined : expiresAt - began
    }
    expect(await endOf({})).toBeUndefined()
    expect(await endOf({ expiresInMs: 7_200_000 })).toBe(7_200_000)
    expect(await endOf({ expiresAt: askedAt + 60_000, expiresInMs: 7_200_000 })).toBe(59_000)
    expect(await endOf({ expiresAt: askedAt + 60_000, expiresInMs: 0 })).toBe(0)
  })

  it('R60 E3 E5 that fails once costs that attempt alone', async () => {
    let asked = 0
    const own = credential(() => {
      if (asked++ === 0) throw new Error('the vault is closed')
      return TOKEN
    }, WHERE)
    await expect(own.get({ signal: never })).rejects.toThrow(`${WHERE} failed: Error: the vault is closed`)
    expect(await own.get({ signal: never })).toEqual({ token: TOKEN })
  })

  const hostile: [string, () => unknown][] = [
    ['throws a text', () => throwing('no')],
    ['throws nothing', () => throwing(undefined)],
    ['throws what cannot be printed', () => throwing(Object.create(null))],
    ['rejects', () => Promise.reject(new Error('no'))],
    ['gives nothing', () => undefined],
    ['gives null', () => null],
    ['gives a number', () => 7],
    ['gives an empty text', () => ''],
    ['gives two lines', () => `${TOKEN}\n`],
    ['gives a function', () => () => TOKEN],
    ['gives an array', () => [TOKEN]],
    ['gives an object without a token', () => ({ access_token: TOKEN })],
    ['gives a token that is none', () => ({ token: { token: TOKEN } })],
    ['gives a date in seconds', () => ({ token: TOKEN, expiresAt: 1_795_210_880 })],
    ['gives a date as text', () => ({ token: TOKEN, expiresAt: '2026-01-01' })],
    ['gives no number', () => ({ token: TOKEN, expiresInMs: Number.NaN })],
    ['gives less than nothing', () => ({ token: TOKEN, expiresInMs: -1 })],
    ['gives eternity', () => ({ token: TOKEN, expiresInMs: Number.POSITIVE_INFINITY })],
    [
      'gives a trap',
      () => ({
        get token() {
          return throwing(new Error('a trap'))
        },
      }),
    ],
    // biome-ignore lint/suspicious/noThenProperty: that is the trap
    ['gives a promise that throws', () => ({ then: () => throwing(new Error('a trap')) })],
  ]
  it.each(hostile)('that %s is a failed attempt that names it, and tells no token', async (_how, provider) => {
    const own = credential(provider as TokenProvider, WHERE)
    const error = await own.get({ signal: never }).catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(Error)
    expect(String(error)).toContain(WHERE)
    expect(String(error)).not.toContain(TOKEN)
    expect(own.latest).toBeUndefined()
  })

  it('that names the rejected token in its error does not tell it', async () => {
    const given = [TOKEN]
    const own = credential(() => given.pop() ?? throwing(new Error(`${TOKEN} has ended`, { cause: TOKEN })), WHERE)
    await own.get({ signal: never })
    const error = await own.get({ signal: never, rejected: true }).catch((reason: unknown) => reason)
    expect(String(error)).toContain(`${WHERE} failed: Error: *** has ended`)
    expect(String(error)).not.toContain(TOKEN)
    expect(error).not.toHaveProperty('cause')
  })

  it('that fails behind a bare text says what was behind it', async () => {
    const cause = Object.assign(new Error('connect ECONNREFUSED 127.0.0.1:1'), { code: 'ECONNREFUSED' })
    const own = credential(() => throwing(new TypeError('fetch failed', { cause })), WHERE)
    await expect(own.get({ signal: never })).rejects.toThrow(/fetch failed: .*ECONNREFUSED/)
  })
})

describe('several links that ask at once', () => {
  it('share one flight, and the next attempt begins another', async () => {
    const { asked, own } = byHand()
    const askers = [ask(own), ask(own), ask(own)]
    expect(asked).toHaveLength(1)
    asked[0]!.give(TOKEN)
    await tick()
    expect(askers.map(({ outcome }) => outcome.value)).toEqual(Array(3).fill({ token: TOKEN }))
    ask(own)
    expect(asked).toHaveLength(2)
  })

  it('share its failure', async () => {
    const { asked, own } = byHand()
    const askers = [ask(own), ask(own)]
    asked[0]!.fail(new Error('no'))
    await tick()
    for (const { outcome } of askers) expect(String(outcome.error)).toContain('failed: Error: no')
  })

  it('wait for an answer that was asked for after a rejection, all of them', async () => {
    const { asked, own } = byHand()
    const [early, rejected, late] = [ask(own), ask(own, true), ask(own)]
    const alsoRejected = ask(own, true)
    expect(asked.map(({ because }) => because)).toEqual(['attempt', 'rejected'])
    expect(asked.map(({ signal }) => signal.aborted)).toEqual([true, false])
    asked[0]!.give('the-rejected-one')
    await tick()
    expect(early.outcome.settled).toBe(false)
    asked[1]!.give(TOKEN)
    await tick()
    for (const { outcome } of [early, rejected, late, alsoRejected]) expect(outcome.value).toEqual({ token: TOKEN })
    expect(own.latest).toBe(TOKEN)
  })

  it('stop waiting each by itself; the provider is told when nobody waits', async () => {
    const { asked, own } = byHand()
    const [one, other] = [ask(own), ask(own)]
    one.abort()
    await tick()
    expect(one.outcome.error).toMatchObject({ code: 'aborted', message: `Nobody waits for ${WHERE} any more.` })
    expect([other.outcome.settled, asked[0]!.signal.aborted]).toEqual([false, false])
    other.abort()
    await tick()
    expect([other.outcome.settled, asked[0]!.signal.aborted]).toEqual([true, true])
  })

  it('E3 never hang on a provider that never settles: the next attempt asks anew', async () => {
    const { asked, own } = byHand()
    const first = ask(own)
    first.abort()
    const second = ask(own)
    expect(asked).toHaveLength(2)
    asked[1]!.give(TOKEN)
    await tick()
    expect(second.outcome.value).toEqual({ token: TOKEN })
  })

  it('R12 get no late answer of an abandoned flight, and no late failure either', async () => {
    const { asked, own } = byHand()
    ask(own).abort()
    ask(own).abort()
    const current = ask(own)
    asked[0]!.give('too-late')
    asked[1]!.fail(new Error('too late'))
    await tick()
    expect([current.outcome.settled, own.latest]).toEqual([false, undefined])
    asked[2]!.give(TOKEN)
    await tick()
    expect([current.outcome.value, own.latest]).toEqual([{ token: TOKEN }, TOKEN])
  })

  it('do not ask at all when their attempt is over already', async () => {
    const { asked, own } = byHand()
    await expect(own.get({ signal: AbortSignal.abort() })).rejects.toBeInstanceOf(HoldfastError)
    expect(asked).toHaveLength(0)
  })

  it('R97 leave no listener on their signals', async () => {
    const { asked, own } = byHand()
    const counts = { added: 0, removed: 0 }
    const { signal } = new AbortController()
    const add = signal.addEventListener.bind(signal)
    const remove = signal.removeEventListener.bind(signal)
    signal.addEventListener = (...given: Parameters<typeof add>) => {
      counts.added++
      add(...given)
    }
    signal.removeEventListener = (...given: Parameters<typeof remove>) => {
      counts.removed++
      remove(...given)
    }
    const waiting = [own.get({ signal }), own.get({ signal })]
    asked[0]!.give(TOKEN)
    await Promise.all(waiting)
    expect(counts).toEqual({ added: 2, removed: 2 })
  })
})

const throwing = (error: unknown): never => {
  throw error
}
