/** A DNS server on loopback that says what it is told to: A and AAAA, each at once, late, never, or with an error. */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { atEnd } from './loopback.ts'

export const RCODE = { ok: 0, servfail: 2, nxdomain: 3, refused: 5 } as const

export interface Reply {
  readonly addresses?: readonly string[]
  readonly rcode?: number
  readonly afterMs?: number
}

/** By name, then by type; what is not there gets no answer. */
export type Zone = Record<string, { readonly a?: Reply; readonly aaaa?: Reply }>

export interface NameServer {
  /** For `dns: { servers }`. */
  readonly server: string
  /** What was asked, as `name A`. */
  readonly asked: string[]
  readonly zone: Zone
}

export const nameServer = async (zone: Zone): Promise<NameServer> => {
  const socket = createSocket('udp4')
  const asked: string[] = []
  socket.on('message', (query, { address, port }) => {
    const { name, type, end } = questionOf(query)
    asked.push(`${name} ${type === 28 ? 'AAAA' : 'A'}`)
    const reply = zone[name]?.[type === 28 ? 'aaaa' : 'a']
    if (!reply) return
    setTimeout(() => {
      if (isOpen) socket.send(replyTo(query, end, type, reply), port, address)
    }, reply.afterMs ?? 0)
  })
  let isOpen = true
  await once(socket.bind(0, '127.0.0.1'), 'listening')
  atEnd(() => {
    isOpen = false
    socket.close()
  })
  return { server: `127.0.0.1:${socket.address().port}`, asked, zone }
}

const questionOf = (query: Buffer) => {
  const labels: string[] = []
  let at = 12
  while (query[at] !== 0) {
    const length = query[at]!
    labels.push(query.toString('latin1', at + 1, at + 1 + length))
    at += 1 + length
  }
  return { name: labels.join('.').toLowerCase(), type: query.readUInt16BE(at + 1), end: at + 5 }
}

/** RFC 1035, section 4.1: the question again, and the addresses under a pointer to its name. */
const replyTo = (query: Buffer, end: number, type: number, { addresses = [], rcode = 0 }: Reply): Buffer => {
  const head = Buffer.from(query.subarray(0, end))
  head.writeUInt16BE(0x8180 | rcode, 2)
  head.writeUInt16BE(addresses.length, 6)
  head.writeUInt32BE(0, 8)
  const records = addresses.map((address) => {
    const data = type === 28 ? bytesOfV6(address) : Buffer.from(address.split('.').map(Number))
    const record = Buffer.from([0xc0, 12, 0, type, 0, 1, 0, 0, 0, 60, 0, data.length])
    return Buffer.concat([record, data])
  })
  return Buffer.concat([head, ...records])
}

/** Full or with one `::`. */
const bytesOfV6 = (address: string): Buffer => {
  const [left = '', right] = address.split('::')
  const parse = (part: string) => part.split(':').filter(Boolean)
  const [before, after] = [parse(left), parse(right ?? '')]
  const zeros = Array<string>(8 - before.length - after.length).fill('0')
  const words = [...before, ...zeros, ...after].map((word) => Number.parseInt(word, 16))
  return Buffer.from(words.flatMap((word) => [word >> 8, word & 255]))
}
