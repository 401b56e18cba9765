/** Reads what is posted to us: no bigger, no slower and no more at a time than is allowed. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Clock } from '../clock.ts'
import { headersOf, type Refusal } from './caller.ts'

export interface PostBounds {
  readonly bytesMax: number
  /** Absolute, in milliseconds, for all of it. */
  readonly withinMs: number
  readonly clock: Clock
}

/** Undefined if the sender has left. */
export const readBody = (
  request: IncomingMessage,
  { bytesMax, withinMs, clock }: PostBounds,
): Promise<Buffer | Refusal | undefined> => {
  const { 'content-length': length, 'content-encoding': encoding = 'identity' } = request.headers
  const tooBig: Refusal = { status: 413, reason: `more than ${bytesMax} bytes` }
  if (Number(length ?? 0) > bytesMax) return Promise.resolve(tooBig)
  if (encoding !== 'identity') return Promise.resolve({ status: 415, reason: 'a compressed body is not read' })
  return new Promise((resolve) => {
    const chunks: Buffer[] = []
    let bytes = 0
    const read = (chunk: Buffer) => {
      chunks.push(chunk)
      bytes += chunk.byteLength
      if (bytes > bytesMax) settle(tooBig)
    }
    const settle = (result: Buffer | Refusal | undefined) => {
      clock.clearTimeout(timer)
      request.off('data', read).off('end', whole).off('close', gone)
      resolve(result)
    }
    const whole = () => settle(Buffer.concat(chunks))
    const gone = () => settle(undefined)
    const timer = clock.setTimeout(() => settle({ status: 408, reason: `not whole within ${withinMs} ms` }), withinMs)
    request.on('data', read).on('end', whole).on('close', gone)
  })
}

/** Answers, and ends the connection: what else comes over it is not read. */
export const refusePost = (request: IncomingMessage, response: ServerResponse, refusal: Refusal): void => {
  if (response.headersSent || response.destroyed) return
  request.resume()
  response.writeHead(refusal.status, headersOf(refusal)).end(refusal.reason, () => request.destroy())
}
