/**
 * A hand-over on its way through a store that others can read: it holds credentials and texts of people, so it is
 * encrypted (AES-256-GCM, NIST SP 800-38D) under a key that is made from the secret of the fleet (HKDF, RFC 5869) for each
 * seal anew, and bound to the lease that it belongs to.
 */
import { createCipheriv, createDecipheriv, type DecipherGCM, hkdfSync, randomBytes } from 'node:crypto'
import { checkHandOver, type HandOver } from '../hand-over.ts'

const SALT_BYTES = 32
const NONCE_BYTES = 12
const TAG_BYTES = 16
const HEAD_BYTES = SALT_BYTES + NONCE_BYTES + TAG_BYTES
const CIPHER = 'aes-256-gcm'

const keyOf = (secret: string, salt: Uint8Array, id: string): Uint8Array =>
  new Uint8Array(hkdfSync('sha256', secret, salt, `holdfast hand-over ${id}`, 32))

export const seal = (handOver: HandOver, secret: string, id: string): string => {
  const salt = randomBytes(SALT_BYTES)
  const nonce = randomBytes(NONCE_BYTES)
  const cipher = createCipheriv(CIPHER, keyOf(secret, salt, id), nonce)
  const text = Buffer.concat([cipher.update(JSON.stringify(handOver), 'utf8'), cipher.final()])
  return Buffer.concat([salt, nonce, cipher.getAuthTag(), text]).toString('base64')
}

/** Throws where it cannot be opened: another secret, another lease, or damage. What it says has nothing of the content. */
export const unseal = (sealed: string, secret: string, id: string): HandOver => {
  const bytes = Buffer.from(sealed, 'base64')
  if (bytes.length < HEAD_BYTES) throw new Error('it is damaged')
  const salt = bytes.subarray(0, SALT_BYTES)
  const nonce = bytes.subarray(SALT_BYTES, SALT_BYTES + NONCE_BYTES)
  const decipher = createDecipheriv(CIPHER, keyOf(secret, salt, id), nonce, { authTagLength: TAG_BYTES })
  decipher.setAuthTag(bytes.subarray(SALT_BYTES + NONCE_BYTES, HEAD_BYTES))
  const text = Buffer.concat([decipher.update(bytes.subarray(HEAD_BYTES)), authentic(decipher)]).toString('utf8')
  return checkHandOver(JSON.parse(text))
}

const authentic = (decipher: DecipherGCM): Buffer => {
  try {
    return decipher.final()
  } catch {
    throw new Error('it was sealed with another secret, or is damaged')
  }
}
