/**
 * A Telegram bot that answers "/ping": messages come by long polls, answers go over the same link.
 *
 *   TELEGRAM_TOKEN=… node examples/telegram-poller/bot.mjs
 *
 * TELEGRAM_API names another Bot API, such as one of a test; STATE is the folder in which the bot keeps what it has taken
 * and what it has yet to say, so nothing is lost or said twice when it is stopped and started again.
 */
import { connect, fileStore, stopOnSignals } from 'holdfast'
import { telegram } from 'holdfast/telegram'

const { TELEGRAM_TOKEN: token, TELEGRAM_API: apiRoot, STATE: folder = './telegram-poller-state' } = process.env
if (!token) throw new Error('TELEGRAM_TOKEN is not set')

const adapter = telegram({ token, allowedUpdates: ['message'], ...(apiRoot && { apiRoot }) })
const link = connect(adapter, { id: 'telegram', store: fileStore(folder) })
stopOnSignals([link])

link.state$.subscribe(() => console.log(link.explain().text))
link.continuity$.subscribe(({ kind }) => console.log(`messages before now: ${kind}`))

for await (const { message } of link) {
  if (message?.text !== '/ping') continue
  // once it is accepted it is on disk, so the update may be confirmed
  await link.send({ chat_id: message.chat.id, text: 'pong' }).accepted
}
