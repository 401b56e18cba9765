/** What the fault server does with a WebSocket upgrade, and with the connection that comes of it. */
import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { type WebSocket, WebSocketServer } from 'ws'

const sockets = new WebSocketServer({ noServer: true, autoPong: false })

/**
 * Before the upgrade:
 *     /stall                      no answer
 *     /drip?ms=1500               one header line each so many ms, and never the last
 *     /rst, /fin, /garbage        instead of an answer
 *     /bad-key                    accepted with a wrong Sec-WebSocket-Accept
 *     /status/429?retry-after=7   that status
 * Every other path is an echo. What it does once open, `afterMs` later (else at once):
 *     ?rst, ?fin                  the TCP connection ends without a close frame
 *     ?code=1012&reason=soon      a close frame; ?nocode one without a code
 *     ?badframe, ?badtext         a reserved bit set; a text that is not UTF-8
 *     ?big=2000000                a message of so many bytes
 *     ?mute                       no pong and no echo from then on
 */
export const answerUpgrade = (path: string, request: IncomingMessage, socket: Socket, head: Buffer): void => {
  const { pathname, searchParams } = new URL(path, 'http://server.test')
  const [first = '', code = ''] = pathname.split('/').slice(1)
  switch (first) {
    case 'stall':
      break
    case 'drip':
      drip(socket, Number(searchParams.get('ms') ?? 1_500))
      break
    case 'rst':
      socket.resetAndDestroy()
      break
    case 'fin':
      socket.end()
      break
    case 'garbage':
      socket.end('this is not HTTP\r\n\r\n')
      break
    case 'bad-key':
      socket.write(`${switching}Sec-WebSocket-Accept: bm90IHRoZSBrZXkgdGhhdCB3\r\n\r\n`)
      break
    case 'status':
      refuse(socket, code, searchParams.get('retry-after'))
      break
    default:
      sockets.handleUpgrade(request, socket, head, (opened) => serve(opened, socket, searchParams))
  }
}

const refuse = (socket: Socket, code: string, retryAfter: string | null): void => {
  const lines = [`HTTP/1.1 ${code} -`, 'Connection: close', 'Content-Length: 0']
  if (retryAfter !== null) lines.push(`Retry-After: ${retryAfter}`)
  socket.end(`${lines.join('\r\n')}\r\n\r\n`)
}

const switching = 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n'

const drip = (socket: Socket, everyMs: number): void => {
  socket.write('HTTP/1.1 101 Switching Protocols\r\n')
  let line = 0
  const timer = setInterval(() => socket.write(`X-Drop-${line++}: drip\r\n`), everyMs)
  socket.once('close', () => clearInterval(timer)).resume()
}

const serve = (opened: WebSocket, socket: Socket, wanted: URLSearchParams): void => {
  let mute = false
  opened.on('error', () => undefined)
  opened.on('message', (data, isBinary) => {
    if (!mute) opened.send(data, { binary: isBinary })
  })
  opened.on('ping', (data) => {
    if (!mute) opened.pong(data)
  })
  const misbehave = () => {
    if (wanted.has('rst')) socket.resetAndDestroy()
    if (wanted.has('fin')) socket.end()
    if (wanted.has('code')) opened.close(Number(wanted.get('code')), wanted.get('reason') ?? '')
    if (wanted.has('nocode')) opened.close()
    if (wanted.has('badframe')) socket.write(Buffer.from([0xb1, 0x00]))
    if (wanted.has('badtext')) socket.write(Buffer.from([0x81, 0x02, 0xc3, 0x28]))
    if (wanted.has('big')) opened.send(Buffer.alloc(Number(wanted.get('big'))))
    if (wanted.has('mute')) mute = true
  }
  // Never in the same packet as the answer to the upgrade: the client is to be open first.
  setTimeout(misbehave, Number(wanted.get('afterMs') ?? 20))
}
