/**
 * A bot that others find in etcd: it is registered under `bots/` for as long as it runs and etcd can be reached, and it
 * knows who else is there.
 *
 *   ETCD_URL=http://127.0.0.1:2379 BOT_NAME=a BOT_ADDRESS=ws://10.0.0.1:8080 node examples/etcd-register/bot.mjs
 *
 * When it is told to stop, its key is gone at once; when it is killed, after TTL_SECONDS.
 */
import { connect, stopOnSignals } from 'holdfast'
import { etcd } from 'holdfast/etcd'

const { ETCD_URL = 'http://127.0.0.1:2379', BOT_NAME: name, BOT_ADDRESS: value, TTL_SECONDS = '10' } = process.env
if (!name || !value) throw new Error('BOT_NAME and BOT_ADDRESS must be set')

const prefix = 'bots/'
const register = { key: `${prefix}${name}`, value, ttlSeconds: Number(TTL_SECONDS) }
const link = connect(etcd({ url: ETCD_URL, register, watch: { prefix } }), { id: `etcd-${name}` })
stopOnSignals([link])

link.state$.subscribe(() => console.log(link.explain().text))

const bots = new Map()
for await (const event of link) {
  if (event.type === 'list') {
    bots.clear()
    for (const { key, value } of event.entries) bots.set(key, value)
  } else if (event.type === 'put') bots.set(event.key, event.value)
  else bots.delete(event.key)
  console.log(`bots: ${JSON.stringify(Object.fromEntries(bots))}`)
}
