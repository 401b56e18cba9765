/** The adapters that can be named, and what of each the layers have to know. */
import { type Adapter, checkTarget, type Target } from '../adapter/adapter.ts'
import { onebot } from '../adapter/onebot.ts'
import { satori } from '../adapter/satori.ts'
import type { Secret } from '../secret.ts'

interface Known {
  make(url: string, token: Secret | undefined): Adapter
  /** The token is shown at the upgrade already, not first in a frame. */
  readonly showsTokenAtUpgrade: boolean
  /** The answer to a probe names it; otherwise any frame that was understood is the answer. */
  readonly namesProbe: boolean
}

const known = {
  onebot: {
    make: (url, token) => onebot({ url, ...(token && { accessToken: token }) }) as Adapter,
    showsTokenAtUpgrade: true,
    namesProbe: true,
  },
  satori: {
    make: (url, token) => satori({ url, ...(token && { token }) }) as Adapter,
    showsTokenAtUpgrade: false,
    namesProbe: false,
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
): Adapter => {
  // the handshake is examined over a WebSocket, also of those that have other ways
  checkTarget({ url }, `the doctor for ${name}`)
  const adapter = known[name].make(url, token)
  if (!tls) return adapter
  return { ...adapter, target: async (context) => ({ ...((await adapter.target(context)) as Target), tls }) }
}
