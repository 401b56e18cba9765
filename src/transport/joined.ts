/** Two transports as one: over the first we ask, over the second we only hear. It stands while both do. */
import type { OpenTransport, TransportListener } from './transport.ts'

/** The second is opened when the first is ready, so nothing is heard before there is somebody to ask. */
export const joined =
  (asking: OpenTransport, hearing: OpenTransport): OpenTransport =>
  (listener) => {
    const ends: (() => void)[] = []
    let isOver = false
    const end = () => {
      isOver = true
      for (const each of ends.splice(0)) each()
    }
    const open = (transport: OpenTransport, part: Partial<TransportListener>) => {
      const close = transport({ ...shared, ...part })
      if (isOver) close()
      else ends.push(close)
    }
    const shared: TransportListener = {
      ...listener,
      lost: (...lost) => {
        if (isOver) return
        end()
        listener.lost(...lost)
      },
    }
    const hear = (ready: () => void) => open(hearing, { opened: () => undefined, ready })
    open(asking, { ready: (pipe) => hear(() => listener.ready(pipe)) })
    return end
  }
