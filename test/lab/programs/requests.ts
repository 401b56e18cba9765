/** What the fault server does with a plain HTTP request. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'

/**
 *     /                         200 and { ok, address }
 *     /status/429?retry-after=7 that status
 *     /hold?ms=2500             a long poll that is answered after that time
 *     /stall                    no answer
 *     /rst, /fin                the connection ends before the headers
 *     /body-stall, -rst, -fin   it goes wrong after the headers and half of the body
 */
export const answerRequest = async (
  path: string,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> => {
  const { pathname, searchParams } = new URL(path, 'http://server.test')
  const { socket } = request
  socket.on('error', () => undefined)
  request.resume()
  const [first = '', code = ''] = pathname.split('/').slice(1)
  switch (first) {
    case 'stall':
      break
    case 'rst':
      socket.resetAndDestroy()
      break
    case 'fin':
      socket.end()
      break
    case 'body-stall':
    case 'body-rst':
    case 'body-fin':
      failInBody(first, response)
      break
    case 'status': {
      const retryAfter = searchParams.get('retry-after')
      response.writeHead(Number(code), retryAfter === null ? {} : { 'retry-after': retryAfter }).end(`status ${code}`)
      break
    }
    default:
      await sleep(first === 'hold' ? Number(searchParams.get('ms')) : 0)
      response.writeHead(200, { 'content-type': 'application/json' })
      response.end(JSON.stringify({ ok: true, address: socket.localAddress?.replace('::ffff:', '') }))
  }
}

const failInBody = (fault: string, response: ServerResponse): void => {
  response.writeHead(200, { 'content-length': '100' }).write('half of it')
  // Once it is on its way, as a reset takes what has not been sent with it.
  setTimeout(() => {
    if (fault === 'body-rst') response.socket?.resetAndDestroy()
    if (fault === 'body-fin') response.socket?.end()
  }, 50)
}
