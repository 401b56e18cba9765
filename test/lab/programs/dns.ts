/**
 * The DNS server of the client's namespace. Argument: { address, port }. Orders: {"zone": {NAME: {a, aaaa} or null}},
 * which is put over what there is; {"report": true} answers the queries since the last one.
 */
import { createSocket } from 'node:dgram'
import { isIPv6 } from 'node:net'
import type { Answer, Name } from '../setups.ts'
import { argument, monotonicMs, obey, print } from './program.ts'

const HEADER_BYTES = 12
const TTL_SECONDS = 60
const types = { 1: 'a', 28: 'aaaa' } as const
const codes = { ok: 0, servfail: 2, nxdomain: 3, refused: 5 } as const

export interface SeenQuery {
  readonly atMs: number
  readonly name: string
  readonly type: string
}

const zone = new Map<string, Name>()
let seen: SeenQuery[] = []

interface Question {
  readonly name: string
  readonly type: 'a' | 'aaaa' | undefined
  readonly bytes: Buffer
}

const questionOf = (query: Buffer): Question => {
  const labels: string[] = []
  let at = HEADER_BYTES
  for (let length = query.readUInt8(at); length > 0; length = query.readUInt8(at)) {
    labels.push(query.toString('latin1', at + 1, at + 1 + length))
    at += 1 + length
  }
  const type = types[query.readUInt16BE(at + 1) as keyof typeof types]
  return { name: labels.join('.').toLowerCase(), type, bytes: query.subarray(HEADER_BYTES, at + 5) }
}

const nameOf = (name: string): Name | undefined => {
  const exact = zone.get(name)
  if (exact) return exact
  const parent = name.slice(name.indexOf('.') + 1)
  return parent === name ? undefined : (zone.get(`*.${parent}`) ?? undefined)
}

const recordOf = (address: string): Buffer => {
  const data = isIPv6(address) ? ipv6Bytes(address) : Buffer.from(address.split('.').map(Number))
  const record = Buffer.alloc(12)
  record.writeUInt16BE(0xc0_0c, 0) // the name of the question
  record.writeUInt16BE(data.length === 16 ? 28 : 1, 2)
  record.writeUInt16BE(1, 4)
  record.writeUInt32BE(TTL_SECONDS, 6)
  record.writeUInt16BE(data.length, 10)
  return Buffer.concat([record, data])
}

const ipv6Bytes = (address: string): Buffer => {
  const [head = [], tail = []] = address.split('::').map((half) => half.split(':').filter(Boolean))
  const zeros = Array<string>(8 - head.length - tail.length).fill('0')
  return Buffer.from([...head, ...zeros, ...tail].map((group) => group.padStart(4, '0')).join(''), 'hex')
}

const replyTo = (query: Buffer, question: Question, code: number, addresses: readonly string[]): Buffer => {
  const header = Buffer.alloc(HEADER_BYTES)
  query.copy(header, 0, 0, 2)
  header.writeUInt16BE(0x81_80 | code, 2) // an answer, with recursion asked for and had
  header.writeUInt16BE(1, 4)
  header.writeUInt16BE(addresses.length, 6)
  return Buffer.concat([header, question.bytes, ...addresses.map(recordOf)])
}

const { address, port } = argument<{ address: string; port: number }>()
const socket = createSocket('udp4')

socket.on('message', (query, { address: client, port: clientPort }) => {
  const question = questionOf(query)
  seen.push({ atMs: monotonicMs(), name: question.name, type: question.type ?? 'other' })
  const name = nameOf(question.name)
  const answer: Answer = (question.type && name?.[question.type]) ?? {}
  const fault = name ? answer.fault : 'nxdomain'
  if (fault === 'silence') return
  const reply = replyTo(query, question, codes[fault ?? 'ok'], fault ? [] : (answer.addresses ?? []))
  const send = () => socket.send(reply, clientPort, client, () => undefined)
  if (answer.delayMs) setTimeout(send, answer.delayMs)
  else send()
})

socket.bind(port, address, () => print({ ready: true, port: socket.address().port }))

obey((order: { zone?: Record<string, Name | null>; report?: boolean }) => {
  for (const [name, answers] of Object.entries(order.zone ?? {})) {
    if (answers === null) zone.delete(name)
    else zone.set(name, answers)
  }
  if (!order.report) return { ok: true }
  const report = seen
  seen = []
  return report
})
