/**
 * Keys for one transport, agreed on before anything else is said: a hello each way, and from then on every frame is sealed.
 * It is made anew for each transport, so nothing that was sealed on an old one can be opened on the next.
 */
import {
  createCipheriv,
  createDecipheriv,
  createECDH,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  hkdfSync,
} from 'node:crypto'
import { HoldfastError } from './error.ts'

/** One side of an exchange. Bring your own where a protocol has its own way; `ecdh()` makes one. */
export interface KeyExchange {
  /** Our hello: the first frame on the transport. */
  begin(): Uint8Array
  /** The peer's hello: its first frame. Throws if the peer is not who it should be, or the hello is none. */
  accept(hello: Uint8Array): Sealer
}

export interface Sealer {
  seal(frame: Uint8Array): Uint8Array
  /** Throws if it was not sealed by the peer, for us, as the next frame of this transport. */
  open(sealed: Uint8Array): Uint8Array
}

export interface EcdhOptions {
  readonly curve: 'prime256v1' | 'x25519'
  /**
   * Whether this is the public key of the peer, as it came: 65 bytes of an uncompressed point (SEC 1, section 2.3.3), or
   * the 32 bytes of RFC 7748. Without it anybody can be in the middle: the keys keep out those who only listen.
   */
  readonly verify?: (peerKey: Uint8Array) => boolean
  readonly cipher: 'aes-256-gcm'
}

/**
 * Diffie-Hellman on an elliptic curve with a new key pair for each transport. The hello is the bare public key. Each
 * direction has a key of its own: HKDF-SHA256 (RFC 5869) of the shared secret, without salt, with the sender's and then the
 * receiver's public key as info. A frame is sealed with AES-256-GCM (NIST SP 800-38D); the nonce is the number of the frame
 * in its direction, from 0, in 12 bytes, and the tag of 16 bytes stands at the end. So a frame that was changed, left out,
 * repeated or moved cannot be opened.
 *
 * Throws HoldfastError `bad-option` if an option is none.
 */
export const ecdh = (options: EcdhOptions): (() => KeyExchange) => {
  const { curve, verify = () => true, cipher } = options
  if (!Object.hasOwn(curves, curve)) throw notThat('curve', '"prime256v1" or "x25519"')
  if (cipher !== CIPHER) throw notThat('cipher', `"${CIPHER}"`)
  if (typeof verify !== 'function') throw notThat('verify', 'a function of the public key of the peer')
  return () => {
    const pair = curves[curve]()
    return {
      begin: () => pair.publicKey,
      accept: (peerKey) => {
        if (pair.publicKey.equals(peerKey)) throw new Error('the peer sent our own hello back')
        if (verify(peerKey) !== true) throw new Error('the key of the peer was not verified')
        const secret = pair.agree(peerKey)
        return new GcmSealer(keyOf(secret, pair.publicKey, peerKey), keyOf(secret, peerKey, pair.publicKey))
      },
    }
  }
}

const notThat = (option: string, wants: string): HoldfastError =>
  new HoldfastError('bad-option', `The option "${option}" of ecdh() must be ${wants}.`)

interface Pair {
  readonly publicKey: Buffer
  /** Throws for what is no key of the curve. */
  agree(peerKey: Uint8Array): Buffer
}

const curves: Record<EcdhOptions['curve'], () => Pair> = {
  prime256v1: () => {
    const own = createECDH('prime256v1')
    return { publicKey: own.generateKeys(), agree: (peerKey) => own.computeSecret(peerKey) }
  },
  x25519: () => {
    const { publicKey, privateKey } = generateKeyPairSync('x25519')
    const { x } = publicKey.export({ format: 'jwk' })
    return {
      publicKey: Buffer.from(x!, 'base64url'),
      agree: (peerKey) => {
        const jwk = { kty: 'OKP', crv: 'X25519', x: Buffer.from(peerKey).toString('base64url') }
        return diffieHellman({ privateKey, publicKey: createPublicKey({ key: jwk, format: 'jwk' }) })
      },
    }
  },
}

const keyOf = (secret: Uint8Array, sender: Uint8Array, receiver: Uint8Array): Buffer =>
  Buffer.from(hkdfSync('sha256', secret, '', Buffer.concat([sender, receiver]), KEY_BYTES))

const CIPHER = 'aes-256-gcm'
const KEY_BYTES = 32
const NONCE_BYTES = 12
const TAG_BYTES = 16

class GcmSealer implements Sealer {
  readonly #ours: Buffer
  readonly #theirs: Buffer
  #sealed = 0
  #opened = 0

  constructor(ours: Buffer, theirs: Buffer) {
    this.#ours = ours
    this.#theirs = theirs
  }

  seal(frame: Uint8Array): Uint8Array {
    const cipher = createCipheriv(CIPHER, this.#ours, nonce(this.#sealed++), { authTagLength: TAG_BYTES })
    return Buffer.concat([cipher.update(frame), cipher.final(), cipher.getAuthTag()])
  }

  open(sealed: Uint8Array): Uint8Array {
    const at = sealed.length - TAG_BYTES
    if (at < 0) throw new Error(`a sealed frame of ${sealed.length} bytes has no tag`)
    const decipher = createDecipheriv(CIPHER, this.#theirs, nonce(this.#opened++), { authTagLength: TAG_BYTES })
    decipher.setAuthTag(sealed.subarray(at))
    return Buffer.concat([decipher.update(sealed.subarray(0, at)), decipher.final()])
  }
}

const nonce = (count: number): Buffer => {
  const bytes = Buffer.alloc(NONCE_BYTES)
  bytes.writeBigUInt64BE(BigInt(count), NONCE_BYTES - 8)
  return bytes
}
