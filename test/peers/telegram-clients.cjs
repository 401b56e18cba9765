/**
 * Real Telegram clients: Koishi with one @satorijs/adapter-telegram bot for each Bot API, as its defaults have it.
 *
 *   node telegram-clients.cjs '{"token": "1:x", "endpoints": ["http://127.0.0.1:9000"], "addresses": ["127.0.0.1"]}'
 *
 * Says on its output {"loaded": true}, and starts when it is told {"start": true}. Then {"bot": {"client", "status"}} at each
 * change of a status, {"heard": {"client", "text"}} for each message, and {"log": "…"} for each line that Koishi logs.
 * With `addresses`, every name is found to have these. Ends when its input ends.
 */

const Module = require('node:module')
const dns = require('node:dns')
const { createInterface } = require('node:readline')
const { inspect } = require('node:util')

// Koishi brings Satori 4, which the adapter asks for; beside it lies the Satori 3 of the Satori server.
const resolve = Module._resolveFilename
Module._resolveFilename = function (name, parent, ...rest) {
  const isOurs = name === '@satorijs/core' && parent?.filename.includes('/@satorijs/adapter-telegram/')
  return resolve.call(this, isOurs ? 'koishi' : name, parent, ...rest)
}

const { token, endpoints, addresses } = JSON.parse(process.argv[2])

const familyOf = (address) => (address.includes(':') ? 6 : 4)
if (addresses) {
  const found = addresses.map((address) => ({ address, family: familyOf(address) }))
  dns.lookup = (_name, options, tell) => {
    if (options?.all) tell(null, found)
    else tell(null, found[0].address, found[0].family)
  }
}

const { Context, Logger, Universal } = require('koishi')
const { default: Http } = require('@koishijs/plugin-http')
const { default: TelegramBot } = require('@satorijs/adapter-telegram')

const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`)

// The output carries JSON lines only.
Logger.targets = [{ record: ({ type, name, content }) => say({ log: `${type} ${name} ${content}` }) }]
Logger.levels = { base: Logger.WARN }

// As Koishi's own worker does: the failure of a start that nobody awaits is a line in the log, and no more.
process.on('unhandledRejection', (error) => say({ log: `W app ${inspect(error, { depth: 6 })}` }))

const statusNames = Object.fromEntries(Object.entries(Universal.Status).map(([name, value]) => [value, name]))

async function start() {
  for (const [client, endpoint] of endpoints.entries()) {
    const app = new Context()
    app.on('bot-status-updated', (bot) => {
      if (bot.platform === 'telegram') say({ bot: { client, status: statusNames[bot.status].toLowerCase() } })
    })
    app.on('message', (session) => say({ heard: { client, text: session.content } }))
    app.plugin(Http)
    app.plugin(TelegramBot, {
      protocol: 'polling',
      token,
      endpoint,
      files: {},
      pollingTimeout: 25_000,
      retryTimes: 6,
      retryInterval: 5_000,
    })
    await app.start()
  }
}

createInterface({ input: process.stdin })
  .on('line', () => void start())
  .on('close', () => process.exit(0))
say({ loaded: true })
