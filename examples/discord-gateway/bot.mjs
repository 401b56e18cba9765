/**
 * A Discord bot that answers "!ping": what happens comes over a link to the gateway, the answer goes over HTTP.
 *
 *   DISCORD_TOKEN=… node examples/discord-gateway/bot.mjs
 *
 * DISCORD_API and DISCORD_GATEWAY name another platform, such as one of a test. It needs the intents "guild messages" and "message content", the second of which has to be allowed in Discord's
 * developer portal: without that the link parks, and says so.
 */
import { connect, stopOnSignals } from 'holdfast'
import { discord } from 'holdfast/discord'

const { DISCORD_TOKEN: token, DISCORD_GATEWAY: url, DISCORD_API: api = 'https://discord.com/api/v10' } = process.env
if (!token) throw new Error('DISCORD_TOKEN is not set')

const headers = { Authorization: `Bot ${token}`, 'Content-Type': 'application/json' }
const GUILD_MESSAGES = 1 << 9
const MESSAGE_CONTENT = 1 << 15

/** Asked before each session start: where to dial, and how many starts are left today. */
const gateway = async () => {
  const answer = await fetch(`${api}/gateway/bot`, { headers, signal: AbortSignal.timeout(5_000) })
  if (!answer.ok) throw new Error(`HTTP ${answer.status}`)
  return answer.json()
}

const intents = GUILD_MESSAGES | MESSAGE_CONTENT
const link = connect(discord({ token, intents, gateway, ...(url && { url }) }), { id: 'discord' })
stopOnSignals([link])

link.state$.subscribe(() => console.log(link.explain().text))
link.continuity$.subscribe(({ kind }) => console.log(`messages before now: ${kind}`))

for await (const { t, d } of link) {
  if (t === 'READY') void link.send({ op: 3, d: { since: null, activities: [], status: 'online', afk: false } })
  if (t !== 'MESSAGE_CREATE' || d.content !== '!ping') continue
  const body = JSON.stringify({ content: 'pong', message_reference: { message_id: d.id } })
  await fetch(`${api}/channels/${d.channel_id}/messages`, { method: 'POST', headers, body })
}
