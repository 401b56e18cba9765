/** What transports on a socket of ours share: how it is written to, and how its end is told. */
import type { Duplex } from 'node:stream'
import { faultFrom } from '../error.ts'

/** All that is written in one turn leaves in one system call. */
export const gather = (socket: Duplex): void => {
  if (socket.writableCorked > 0) return
  socket.cork()
  process.nextTick(() => socket.uncork())
}

/** What was written in this turn has to reach the kernel before the socket is destroyed. */
export const flush = (socket: Duplex): void => {
  while (socket.writableCorked > 0) socket.uncork()
}

/** A reset, an end and a silence of the network, told apart. `finished` says how the peer ended its side, if it did. */
export const endOf = (broken: unknown, finished: string | undefined): string => {
  if (!broken) return finished ?? 'the socket closed without a word'
  const { code } = broken as NodeJS.ErrnoException
  const { detail } = faultFrom(broken, 'open')
  if (code === 'ETIMEDOUT') return `the network stopped answering: ${detail}`
  return code === 'ECONNRESET' || code === 'EPIPE' ? `the peer reset the connection: ${detail}` : (detail ?? '')
}
