/**
 * A real Satori server: Koishi with its server plugin and @satorijs/server, and one mock bot that is logged in.
 *
 *   node satori-server.cjs '{"port": 5500, "token": "secret"}'
 *
 * Says {"listening": port} on its output when it can be dialed, and {"sent": {…}} when a client makes the bot speak
 * (message.create). Takes on its input {"receive": "text"}, a message from somebody to the bot, and {"status": 0},
 * a new status of the bot's login; each becomes an EVENT to every identified client. Ends when its input ends.
 */

const Module = require('node:module')
const { createInterface } = require('node:readline')

// @satorijs/server 2.2.2 was written for Satori 3; Koishi 4.18 brings Satori 4. Three names moved in between:
// the package that the framework is imported from, the service that serves HTTP, and the wildcard in a route.
const resolve = Module._resolveFilename
Module._resolveFilename = function (request, parent, ...rest) {
  const isServer = parent?.filename.includes('/@satorijs/server/')
  return resolve.call(this, isServer && request === '@satorijs/satori' ? 'koishi' : request, parent, ...rest)
}

const { Context, Logger } = require('koishi')
const { default: MockBot } = require('@koishijs/plugin-mock')
const { Server: HttpServer } = require('@koishijs/plugin-server')
const satori = require('@satorijs/server')

// The output carries JSON lines only.
Logger.targets = [{ print: (text) => process.stderr.write(`${text}\n`) }]
Logger.levels = { base: Logger.ERROR }

function routerOf(server) {
  return {
    get: (path, handler) => server.get(path.replace('(/.+)*', '(.*)'), handler),
    post: (path, handler) => server.post(path, handler),
    ws: (path, handler) => server.ws(path, handler),
  }
}

const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`)

/** The mock bot of Koishi cannot speak outside of a conversation: it has no encoder. This one says what it was told. */
class TalkingBot extends MockBot {
  spoken = 0

  async createMessage(channelId, content) {
    say({ sent: { channelId, content } })
    return [{ id: `spoken-${++this.spoken}`, content, channel: { id: channelId, type: 0 } }]
  }
}

const config = JSON.parse(process.argv[2] ?? '{}')

async function main() {
  const app = new Context()
  app.plugin(HttpServer, { host: '127.0.0.1', port: config.port })
  app.plugin(TalkingBot, { selfId: '514' })
  app.provide('router')
  app.inject(['server'], (ctx) => ctx.set('router', routerOf(ctx.server)))
  app.plugin(satori, { path: '/satori', token: config.token, websocket: {}, webhooks: [] })
  await app.start()

  const { _http: http } = app.server
  if (http.listening) say({ listening: config.port })
  else http.once('listening', () => say({ listening: config.port }))

  createInterface({ input: process.stdin })
    .on('line', (line) => {
      const { receive, status } = JSON.parse(line)
      if (receive !== undefined) app.mock.client('100', '200').receive(receive)
      if (status !== undefined) app.bots[0].status = status
    })
    .on('close', () => process.exit(0))
}

main().catch((error) => {
  process.stderr.write(`${error.stack}\n`)
  process.exit(1)
})
