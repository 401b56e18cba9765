/**
 * Real QQ clients: Koishi with one @satorijs/adapter-qq bot for each platform.
 *
 *   node qq-clients.cjs '{"token": "…", "platforms": [{"gateway": "ws://127.0.0.1:9000/", "http": "http://127.0.0.1:9000/"}]}'
 *
 * Says on its output {"started": true}, {"bot": {"client", "status"}} at each change of a bot's status, and {"log": "…"} for
 * each line that Koishi logs. Ends when its input ends.
 */

const Module = require('node:module')
const { createInterface } = require('node:readline')

// Koishi brings Satori 4, which the adapter asks for; beside it lies the Satori 3 of the Satori server.
const resolve = Module._resolveFilename
Module._resolveFilename = function (name, parent, ...rest) {
  const isOurs = name === '@satorijs/core' && parent?.filename.includes('/@satorijs/adapter-qq/')
  return resolve.call(this, isOurs ? 'koishi' : name, parent, ...rest)
}

const { Context, Logger, Universal } = require('koishi')
const { default: Http } = require('@koishijs/plugin-http')
const { QQBot } = require('@satorijs/adapter-qq')

const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`)

// The output carries JSON lines only.
Logger.targets = [{ record: ({ type, name, content }) => say({ log: `${type} ${name} ${content}` }) }]
Logger.levels = { base: Logger.WARN }

const statusNames = Object.fromEntries(Object.entries(Universal.Status).map(([name, value]) => [value, name]))

async function main() {
  const { token, platforms, retryInterval } = JSON.parse(process.argv[2])
  for (const [client, { gateway, http }] of platforms.entries()) {
    const app = new Context()
    app.on('bot-status-updated', (bot) => {
      if (bot.platform === 'qq') say({ bot: { client, status: statusNames[bot.status].toLowerCase() } })
    })
    app.plugin(Http)
    app.plugin(QQBot, {
      id: '1020',
      token,
      secret: '',
      type: 'public',
      authType: 'bot',
      protocol: 'websocket',
      endpoint: http,
      gatewayUrl: gateway,
      intents: 1,
      retryTimes: 6,
      retryInterval,
      retryLazy: retryInterval,
    })
    await app.start()
  }
  say({ started: true })
  createInterface({ input: process.stdin }).on('close', () => process.exit(0))
}

main().catch((error) => {
  process.stderr.write(`${error.stack}\n`)
  process.exit(1)
})
