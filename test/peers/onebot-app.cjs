/**
 * A real OneBot application: Koishi with koishi-plugin-adapter-onebot as a forward WebSocket client, or as a server that
 * is dialed: with {"protocol": "ws-reverse", "serverPort": 8095}.
 *
 *   node onebot-app.cjs '{"endpoint": "ws://127.0.0.1:3001", "token": "secret", "selfId": "10000"}'
 *
 * Whatever else the configuration holds goes to the adapter (retryTimes, retryInterval, responseTimeout …).
 * Says on its output {"started": true}, {"status": "online"} at each change of the bot's status, {"error": "…"} if
 * it has a reason, {"message": {…}} for each message that the bot receives, {"log": "…"} for each line that Koishi
 * logs, and {"sent": [ids]} or {"failed": "…"} for each order to send. Takes on its input
 * {"send": {"channelId", "text"}} and {"start": true}, which starts the bot again as a person would. Ends when its
 * input ends.
 */

const { createInterface } = require('node:readline')
const { Context, Logger, Universal } = require('koishi')
const { default: Http } = require('@koishijs/plugin-http')
const { default: Server } = require('@koishijs/plugin-server')
const { default: OneBotBot } = require('koishi-plugin-adapter-onebot')

const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`)

// The output carries JSON lines only.
Logger.targets = [{ record: ({ type, name, content }) => say({ log: `${type} ${name} ${content}` }) }]
Logger.levels = { base: Logger.WARN }

const statusNames = Object.fromEntries(Object.entries(Universal.Status).map(([name, value]) => [value, name]))

async function main() {
  const app = new Context()
  app.on('bot-status-updated', (bot) => {
    say({ status: statusNames[bot.status].toLowerCase() })
    // The adapter notes the error after it has changed the status.
    queueMicrotask(() => bot.error && say({ error: bot.error.message }))
  })
  app.on('message', ({ userId, channelId, messageId, content }) => {
    say({ message: { userId, channelId, messageId, content } })
  })
  const { serverPort, ...config } = JSON.parse(process.argv[2] ?? '{}')
  app.plugin(Http)
  if (serverPort) app.plugin(Server, { host: '127.0.0.1', port: serverPort })
  app.plugin(OneBotBot, { protocol: 'ws', selfId: '10000', ...config })
  await app.start()
  say({ started: true })

  const bot = app.bots[0]
  createInterface({ input: process.stdin })
    .on('line', async (line) => {
      const { send, start } = JSON.parse(line)
      if (start) await bot.start()
      if (!send) return
      try {
        say({ sent: await bot.sendMessage(send.channelId, send.text) })
      } catch (error) {
        say({ failed: error.message })
      }
    })
    .on('close', () => process.exit(0))
}

main().catch((error) => {
  process.stderr.write(`${error.stack}\n`)
  process.exit(1)
})
