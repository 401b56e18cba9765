/**
 * The entry of the peer's process: a fake OneBot peer whose strings are pulled over IPC (see `peer-process.ts`).
 *
 * A process of its own makes the faults real: it can be killed and frozen, and a blocked event loop on one side leaves
 * the other side running.
 */

import { type OnebotPeerConfig, startOnebotPeer } from '../../testing/onebot-peer.ts'
import type { PeerNews, PeerOrder } from './peer-process.ts'

const send = process.send?.bind(process)
if (!send) {
  process.stderr.write('This is a part of the lab and is started by it: holdfast lab\n')
  process.exit(2)
}

// A parent that is just leaving closes the channel at any moment: a report that nobody reads any more is no error.
const tell = (news: PeerNews): void => {
  if (process.connected) send(news, undefined, undefined, () => undefined)
}

// Without its parent this process has no purpose. The parent may be gone before the first line of this file ran.
process.once('disconnect', () => process.exit(0))
if (!process.connected) process.exit(0)

const config = JSON.parse(process.argv[2] ?? '{}') as OnebotPeerConfig
try {
  const peer = await startOnebotPeer({ ...config, onRecord: (record) => tell({ type: 'record', record }) })
  process.on('message', (order: PeerOrder) => {
    if (order.type === 'behave') peer.behave(order.behaviour)
    else if (order.type === 'emit') peer.emit(order.event)
    else if (order.type === 'online') peer.setOnline(order.value)
    else if (order.type === 'dismiss') peer.dismiss(order.how)
    else peer.cut()
  })
  tell({ type: 'listening', port: peer.port })
} catch (error) {
  tell({ type: 'failed', message: error instanceof Error ? error.message : String(error) })
  process.exitCode = 1
  process.disconnect()
}
