/**
 * A bot that runs on several hosts and is held by one of them: start it as often as you like. The others wait, and when
 * the one that has it dies, is cut off or is told to stop, the next one goes on. It answers every private message.
 *
 *   ONEBOT_URL=ws://127.0.0.1:3001/ NATS_URL=127.0.0.1:4222 node examples/fleet/bot.mjs
 *
 * ETCD_URL in place of NATS_URL keeps the lease in etcd. ONEBOT_TOKEN and FLEET_SECRET if there are any; with the secret
 * what waits to be sent goes along to the next process. TTL_MS is 15000 by default.
 */
import { connect as connectToNats } from '@nats-io/transport-node'
import { connect, stopOnSignals } from 'holdfast'
import { etcdLeaseStore, lease, natsLeaseStore } from 'holdfast/lease'
import { onebot } from 'holdfast/onebot'

const { ONEBOT_URL: url = 'ws://127.0.0.1:3001/', ONEBOT_TOKEN: accessToken, FLEET_SECRET: secret } = process.env
const { NATS_URL: servers = '127.0.0.1:4222', ETCD_URL, TTL_MS = '15000', NAME: owner } = process.env

const openNats = async () =>
  natsLeaseStore(await connectToNats({ servers, maxReconnectAttempts: -1, waitOnFirstConnect: true }))

const store = ETCD_URL ? etcdLeaseStore({ url: ETCD_URL }) : await openNats()

const bot = lease('qq-main', {
  store,
  ttlMs: Number(TTL_MS),
  ...(owner && { owner }),
  ...(secret && { secret }),
  link: (tenure) => {
    const link = connect(onebot({ url, ...(accessToken && { accessToken }) }), { lease: tenure })
    link.inbound$.subscribe((event) => {
      if (event.post_type === 'message') answer(link, event)
    })
    return link
  },
})
stopOnSignals([bot])

const answer = (link, { user_id, message_id }) => {
  link.call('send_private_msg', { user_id, message: `read ${message_id}` }).catch((error) => console.log(error.message))
}

bot.state$.subscribe(({ state, owner, term, fault }) => {
  console.log(`${state}${owner ? `: ${owner} has it, term ${term}` : ''}${fault ? ` (${fault.code})` : ''}`)
})
