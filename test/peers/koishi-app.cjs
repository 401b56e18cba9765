/**
 * A real Koishi with the plugin of examples/koishi-plugin, and a bot that repeats what it hears.
 *
 *   NODE_PATH=test/peers/node_modules node koishi-app.cjs '{"endpoint": "ws://127.0.0.1:3001", "selfId": "10000"}'
 *
 * Says {"started": true}, {"status": "online"} at each change of the bot's status, {"error": "…"} if it has a reason,
 * {"message": {…}} for each message that it receives, {"failed": "…"} for what it could not send, and {"log": "…"} for each
 * line that Koishi logs. Takes {"start": true}, which starts the bot as a person would, and {"unload": true}, which unloads
 * the plugin and says {"unloaded": true}. Ends when its input ends.
 */

const { createInterface } = require('node:readline')
const { Context, Logger, Universal } = require('koishi')
const HoldfastBot = require('../../examples/koishi-plugin/index.cjs')

const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`)

// The output carries JSON lines only.
Logger.targets = [{ record: ({ type, name, content }) => say({ log: `${type} ${name} ${content}` }) }]
Logger.levels = { base: Logger.INFO }

const statusNames = Object.fromEntries(Object.entries(Universal.Status).map(([name, value]) => [value, name]))

async function main() {
  const app = new Context()
  app.on('bot-status-updated', (bot) => {
    say({ status: statusNames[bot.status].toLowerCase() })
    if (bot.error) say({ error: bot.error.message })
  })
  app.on('message', async (session) => {
    const { userId, channelId, messageId, content, isDirect } = session
    say({ message: { userId, channelId, messageId, content, isDirect } })
    try {
      await session.send(`you said: ${content}`)
    } catch (error) {
      say({ failed: error.message })
    }
  })
  const plugin = app.plugin(HoldfastBot, JSON.parse(process.argv[2]))
  await app.start()
  say({ started: true })

  createInterface({ input: process.stdin })
    .on('line', async (line) => {
      const { start, unload } = JSON.parse(line)
      if (start) await app.bots[0].start()
      if (!unload) return
      plugin.dispose()
      say({ unloaded: true })
    })
    .on('close', () => process.exit(0))
}

main().catch((error) => {
  process.stderr.write(`${error.stack}\n`)
  process.exit(1)
})
