/** A bot and a peer of their own for the page of the lab: whoever looks at it can break the peer, again and again. */

import type { TargetContext } from '../../adapter/adapter.ts'
import { onebot } from '../../adapter/onebot.ts'
import type { Fleet } from '../../fleet.ts'
import type { Link } from '../../link.ts'
import { inspect } from '../../observe/inspect/index.ts'
import { startPeerProcess } from './peer-process.ts'
import { playgroundFaults, reaches } from './playground-faults.ts'

export interface Playground extends AsyncDisposable {
  readonly url: string
}

export interface PlaygroundOptions {
  readonly port: number
  /** The built entry of the peer's process, if it does not lie beside this code. */
  readonly entry?: string
}

const TOKEN = 'playground-token'
const ID = 'playground'
/** Whoever plays should not wait ever longer for what was played before. */
const PROVEN_MS = 3_000
/** RFC 6761: a name that nobody will ever have. */
const NOBODY = 'peer.invalid'

export const openPlayground = async (bots: Fleet, { port, entry }: PlaygroundOptions): Promise<Playground> => {
  const peer = await startPeerProcess({ token: TOKEN }, entry === undefined ? {} : { entry })
  let isKnown = true
  let isPlaying = false
  const at = (url: string) => onebot({ url, accessToken: TOKEN })
  const here = at(peer.url)
  const nowhere = at(`ws://${NOBODY}:${peer.port}`)
  const adapter = { ...here, target: (context: TargetContext) => (isKnown ? here : nowhere).target(context) }
  const lookup = () =>
    Promise.reject(Object.assign(new Error(`getaddrinfo ENOTFOUND ${NOBODY}`), { code: 'ENOTFOUND' }))
  const link = bots.add(adapter, { id: ID, lookup, deadlines: { provenMs: PROVEN_MS } }) as Link
  const play = async (fault: string): Promise<void> => {
    if (link.status.state !== 'live') throw new Error('The link must be live first: wait, or resume it.')
    if (isPlaying) throw new Error('One fault at a time.')
    isPlaying = true
    const name = (known: boolean) => {
      isKnown = known
    }
    try {
      await playgroundFaults[fault]!({ peer, link, name })
      // a parked link is for a person to resume
      await reaches(link, ({ state }) => state === 'live' || state === 'parked')
    } finally {
      isPlaying = false
    }
  }
  const lab = { faults: Object.keys(playgroundFaults), link: ID, play }
  const inspector = await inspect(bots, { port, control: true, lab })
  return {
    url: inspector.url,
    [Symbol.asyncDispose]: async () => {
      await inspector.close()
      await link.stop({ drainMs: 0 })
      await peer.stop()
    },
  }
}
