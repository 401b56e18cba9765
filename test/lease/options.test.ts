/** What cannot be right is refused when the store is made, and no secret is repeated. */
import { expect, test } from 'vitest'
import { type EtcdLeaseStoreOptions, etcdLeaseStore } from '../../src/lease/etcd.ts'
import { type NatsLeaseStoreOptions, natsLeaseStore } from '../../src/lease/nats.ts'
import { secret } from '../../src/secret.ts'

const connection = {
  status: async function* () {
    yield* []
  },
}

test.each([
  [{ replicas: 0 }, 'has replicas of the number 0; it must be a whole number from 1.'],
  [{ replicas: 1.5 }, 'has replicas of the number 1.5'],
  [{ bucket: 'a.b' }, 'has a bucket whose name is not of letters'],
  [{ ttl: 3 }, '"ttl" is not one of the options of natsLeaseStore()'],
])('natsLeaseStore, wrong options (%#)', (options, why) => {
  expect(() => natsLeaseStore(connection, options as NatsLeaseStoreOptions)).toThrow(why)
})

test('natsLeaseStore, what is no connection', () => {
  expect(() => natsLeaseStore('nats://127.0.0.1' as never)).toThrow('needs a connection: await connect({ servers })')
})

const url = 'http://127.0.0.1:2379'

test.each([
  [{}, 'needs a url, or several as urls'],
  [{ url, urls: [url] }, 'needs a url, or several as urls, and not both'],
  [{ urls: [] }, 'has urls that are no list of some'],
  [{ url: 'ws://127.0.0.1:2379' }, 'begins with "ws:"'],
  [{ urls: [url, 'nonsense'] }, 'is not a URL'],
  [{ url: 'http://bots:hunter2@127.0.0.1:2379' }, 'a user goes into username and password'],
  [{ url, username: 'bots' }, 'has half of a username and password'],
  [{ url, username: 'bots', password: '' }, 'has a password that is no text, or an empty one'],
  [{ url, username: 7, password: secret('hunter2') }, 'has a username that is no text'],
  [{ url, prefix: 7 }, 'has a prefix that is the number 7'],
  [{ url, proxy: 'ftp://bots:hunter2@10.0.0.1' }, 'has a proxy that is neither false nor the URL of one'],
  [{ url, ttl: 3 }, '"ttl" is not one of the options of etcdLeaseStore()'],
])('etcdLeaseStore, wrong options (%#)', (options, why) => {
  const make = () => etcdLeaseStore(options as EtcdLeaseStoreOptions)
  expect(make).toThrow(why)
  expect(make).not.toThrow('hunter2')
})
