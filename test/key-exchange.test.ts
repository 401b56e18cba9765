/** Keys for one transport: who agrees, who is refused, and what can be opened. */
import { createDecipheriv, createECDH, hkdfSync } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type EcdhOptions, ecdh, type Sealer } from '../src/key-exchange.ts'

const seed = Number(process.env.HF_SEED ?? 20_261_121)
const cipher = 'aes-256-gcm'

const agree = (options: EcdhOptions): { ours: Sealer; theirs: Sealer } => {
  const make = ecdh(options)
  const [us, them] = [make(), make()]
  const [hello, answer] = [us.begin(), them.begin()]
  return { ours: us.accept(answer), theirs: them.accept(hello) }
}

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString()

describe.each(['prime256v1', 'x25519'] as const)('ecdh on %s', (curve) => {
  it('both sides open what the other sealed, in both directions, in order', () => {
    const { ours, theirs } = agree({ curve, cipher })
    const frames = fc.array(fc.tuple(fc.boolean(), fc.uint8Array({ maxLength: 200 })), { maxLength: 20 })
    fc.assert(
      fc.property(frames, (all) => {
        for (const [isOurs, frame] of all) {
          const [from, to] = isOurs ? [ours, theirs] : [theirs, ours]
          expect(Buffer.from(to.open(from.seal(frame))).equals(frame)).toBe(true)
        }
      }),
      { seed, numRuns: 50 },
    )
  })

  it('opens nothing that was changed in any place, repeated, moved, left out, turned around or torn off', () => {
    const seal = () => {
      const { ours, theirs } = agree({ curve, cipher })
      return { ours, theirs, frames: ['a', 'b', 'c'].map((each) => ours.seal(Buffer.from(each))) }
    }
    const { theirs, frames } = seal()
    expect(text(theirs.open(frames[0]!))).toBe('a')
    expect(() => theirs.open(frames[0]!), 'repeated').toThrow()
    const moved = seal()
    expect(() => moved.theirs.open(moved.frames[1]!), 'left out').toThrow()
    const turned = seal()
    expect(() => turned.ours.open(turned.frames[0]!), 'turned around').toThrow()
    for (let at = 0; at < frames[0]!.length; at++) {
      const { theirs, frames } = seal()
      const changed = Buffer.from(frames[0]!)
      changed[at]! ^= 1
      expect(() => theirs.open(changed), `changed at ${at}`).toThrow()
    }
    for (let length = 0; length < frames[0]!.length; length++) {
      const { theirs, frames } = seal()
      expect(() => theirs.open(frames[0]!.subarray(0, length)), `torn off after ${length}`).toThrow()
    }
  })

  it('incident 3.8 what was sealed on one transport cannot be opened on the next', () => {
    const make = ecdh({ curve, cipher })
    const [us, again, them] = [make(), make(), make()]
    const answer = them.begin()
    const [old, next] = [us.accept(answer), again.accept(answer)]
    const [one, other] = [them.accept(us.begin()), them.accept(again.begin())]
    expect(text(old.open(one.seal(Buffer.from('late'))))).toBe('late')
    expect(text(next.open(other.seal(Buffer.from('now'))))).toBe('now')
    expect(() => next.open(one.seal(Buffer.from('late')))).toThrow()
  })

  it('refuses a key that is not verified, its own key sent back, and whatever is no key', () => {
    const make = ecdh({ curve, cipher })
    const them = make().begin()
    const pinned = ecdh({ curve, cipher, verify: (key) => Buffer.from(them).equals(key) })
    expect(() => pinned().accept(make().begin())).toThrow('the key of the peer was not verified')
    expect(() => pinned().accept(them)).not.toThrow()
    const us = make()
    expect(() => us.accept(us.begin())).toThrow('sent our own hello back')
    // RFC 7748, section 6.1: points of low order give a secret that everybody knows
    for (const none of [Buffer.alloc(0), Buffer.alloc(32), Buffer.alloc(65), Buffer.alloc(65, 4), Buffer.from([1])]) {
      expect(() => make().accept(none), none.toString('hex')).toThrow()
    }
  })
})

it('seals as it is written down: HKDF of the secret by sender and receiver, the count as nonce, the tag at the end', () => {
  const them = createECDH('prime256v1')
  them.generateKeys()
  const us = ecdh({ curve: 'prime256v1', cipher })()
  const hello = us.begin()
  const sealer = us.accept(them.getPublicKey())
  sealer.seal(Buffer.from('first'))
  const sealed = Buffer.from(sealer.seal(Buffer.from('second')))
  const info = Buffer.concat([hello, them.getPublicKey()])
  const key = Buffer.from(hkdfSync('sha256', them.computeSecret(hello), '', info, 32))
  const decipher = createDecipheriv(cipher, key, Buffer.from([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]))
  decipher.setAuthTag(sealed.subarray(-16))
  expect(Buffer.concat([decipher.update(sealed.subarray(0, -16)), decipher.final()]).toString()).toBe('second')
})

it('makes new keys for each transport', () => {
  const make = ecdh({ curve: 'x25519', cipher })
  expect(new Set(Array.from({ length: 20 }, () => text(make().begin()))).size).toBe(20)
})

it.each([
  [{ curve: 'p192', cipher }, 'curve'],
  [{ curve: 'toString', cipher }, 'curve'],
  [{ curve: 'x25519', cipher: 'rc4' }, 'cipher'],
  [{ curve: 'x25519', cipher, verify: true }, 'verify'],
])('refuses %o', (options, option) => {
  expect(() => ecdh(options as never)).toThrow(`The option "${option}" of ecdh() must be`)
})
