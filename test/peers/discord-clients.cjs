/**
 * Real Discord clients: one @discordjs/ws manager with one shard for each gateway.
 *
 *   node discord-clients.cjs '{"token": "…", "gateways": ["ws://127.0.0.1:9000/"]}'
 *
 * Says on its output {"started": true} and {"shard": {"client", "event", "more"}} for what the shards emit. Takes on its
 * input {"send": {"client", "payload"}} and {"status": client}, which is answered by {"status": {"client", "status"}}.
 * Ends when its input ends.
 */

const { createInterface } = require('node:readline')
const { WebSocketManager, WebSocketShardEvents, WebSocketShardStatus } = require('@discordjs/ws')

const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`)

const { token, gateways } = JSON.parse(process.argv[2])

const managers = gateways.map((url, client) => {
  // by default all managers of a process share one store, in which shard 0 of one is shard 0 of all
  let session = null
  const manager = new WebSocketManager({
    token,
    intents: 1,
    shardCount: 1,
    retrieveSessionInfo: () => session,
    updateSessionInfo: (_shard, info) => {
      session = info
    },
    // all that it asks for is GET /gateway/bot
    rest: { get: async (route) => (await fetch(url.replace(/^ws(.*)\/$/, `http$1${route}`))).json() },
  })
  for (const event of Object.values(WebSocketShardEvents)) {
    if (event === WebSocketShardEvents.Debug || event === WebSocketShardEvents.SocketError) continue
    manager.on(event, (given) => {
      const more = given instanceof Error ? given.message : event === 'dispatch' ? given.t : given
      say({ shard: { client, event, more: typeof more === 'object' ? null : more } })
    })
  }
  manager.on(WebSocketShardEvents.SocketError, () => undefined)
  // What it could not do is seen at the platform.
  manager.connect().catch((error) => say({ shard: { client, event: 'failed', more: error.message } }))
  return manager
})

process.on('unhandledRejection', (error) => say({ unhandled: String(error) }))
say({ started: true })

createInterface({ input: process.stdin })
  .on('line', async (line) => {
    const { send, status } = JSON.parse(line)
    if (send) managers[send.client].send(0, send.payload).catch((error) => say({ unhandled: String(error) }))
    if (status === undefined) return
    const found = await managers[status].fetchStatus()
    say({ status: { client: status, status: WebSocketShardStatus[found.get(0)] } })
  })
  .on('close', () => process.exit(0))
