/** The adapters that can be named, and what of each the layers have to know. */
import { type Adapter, checkTarget, type Target } from '../adapter/adapter.ts'
import { maim } from '../adapter/maim.ts'
import { onebot } from '../adapter/onebot.ts'
import { satori } from '../adapter/satori.ts'
import type { Secret } from '../secret.ts'

export type Answer = 'named' | 'any' | 'pong'

interface Known {
  make(url: string, token: Secret | undefined, platform: string | undefined): Adapter
  /** The token is shown at the upgrade already, not first in a frame. */
  readonly showsTokenAtUpgrade: boolean
  /** What answers a probe: a frame that names it, any frame that was understood, or the pong of a WebSocket ping. */
  readonly answer: Answer
}

/** The core keeps one connection for each platform: one of our own pushes no bridge out. */
const PLATFORM = 'holdfast-doctor'

const known = {
  onebot: {
    make: (url, token) => onebot({ url, ...(token && { accessToken: token }) }) as Adapter,
    showsTokenAtUpgrade: true,
    answer: 'named',
  },
  satori: {
    make: (url, token) => satori({ url, ...(token && { token }) }) as Adapter,
    showsTokenAtUpgrade: false,
    answer: 'any',
  },
  maim: {
    make: (url, token, platform = PLATFORM) => maim({ url, platform, ...(token && { token }) }) as Adapter,
    // its core lets everybody in at first, and reads the token without "Bearer"
    showsTokenAtUpgrade: false,
    answer: 'pong',
  },
} as const satisfies Record<string, Known>

export type AdapterName = keyof typeof known

export const adapterNames = Object.keys(known) as AdapterName[]

export const knownAdapter = (name: AdapterName): Known => known[name]

/** Throws HoldfastError `bad-option` if the URL or the token is not for this adapter. */
export const makeAdapter = (
  name: AdapterName,
  url: string,
  token: Secret | undefined,
  tls: Target['tls'] | undefined,
  platform: string | undefined,
): Adapter => {
  // the handshake is examined over a WebSocket, also of those that have other ways
  checkTarget({ url }, `the doctor for ${name}`)
  const adapter = (known[name] as Known).make(url, token, platform)
  if (!tls) return adapter
  return { ...adapter, target: async (context) => ({ ...((await adapter.target(context)) as Target), tls }) }
}
