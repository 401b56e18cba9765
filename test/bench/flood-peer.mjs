/** The other end of the throughput bench: `/flood?N` sends N messages, `/sink?N` takes N and says `done`. */
import { WebSocketServer } from 'ws'

const body = 'x'.repeat(Number(process.argv[2]))
const server = new WebSocketServer({ port: 0, host: '127.0.0.1', perMessageDeflate: false })
server.on('listening', () => process.send(server.address().port))
process.once('disconnect', () => process.exit(0))

const HIGH_WATER = 1024 * 1024

server.on('connection', (socket, request) => {
  const [path, count] = request.url.split('?')
  const wanted = Number(count)
  socket.send('hello')
  if (path === '/sink') {
    let seen = 0
    socket.on('message', () => {
      if (++seen === wanted) socket.send('done')
    })
    return
  }
  socket.once('message', () => {
    let sent = 0
    const more = () => {
      while (sent < wanted && socket.bufferedAmount < HIGH_WATER && socket.readyState === 1) {
        socket.send(body)
        sent++
      }
      if (sent < wanted && socket.readyState === 1) setImmediate(more)
    }
    more()
  })
})
