/** A bot and a peer of their own for the page of the lab: whoever looks at it can break the peer, again and again. */
import { onebot } from '../../adapter/onebot.ts'
import type { Fleet } from '../../fleet.ts'
import type { Link } from '../../link.ts'
import { inspect } from '../../observe/inspect/index.ts'
import { labFaults } from './faults.ts'
import { waitUntil } from './measure.ts'
import { startPeerProcess } from './peer-process.ts'

export interface Playground extends AsyncDisposable {
  readonly url: string
}

const TOKEN = 'playground-token'
const ID = 'playground'

export const openPlayground = async (bots: Fleet, port: number): Promise<Playground> => {
  const peer = await startPeerProcess({ token: TOKEN })
  const link = bots.add(onebot({ url: peer.url, accessToken: TOKEN }), { id: ID }) as Link
  let isPlaying = false
  const play = async (name: string): Promise<void> => {
    const fault = labFaults.find((each) => each.name === name)!
    if (isPlaying) throw new Error('One fault at a time: wait until the link is live again.')
    isPlaying = true
    try {
      if (fault.startsWithout) await peer.kill()
      const nothing = () => undefined
      await fault.play({
        peer,
        link,
        strike: nothing,
        healed: nothing,
        until: (condition) => waitUntil(link, condition),
      })
      await waitUntil(link, 'live')
    } finally {
      isPlaying = false
    }
  }
  const lab = { faults: labFaults.map(({ name }) => name), play }
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
