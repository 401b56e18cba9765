/**
 * A service that registers itself with etcd3 1.1.2, the way in which OpenIM's servers did with etcd's Go client: grant,
 * put, keep alive; when the lease is lost the loop returns, and that is all. Prints JSON lines.
 */
const { Etcd3 } = require('etcd3')

const { url, key, value, ttlSeconds } = JSON.parse(process.argv[2])
const say = (line) => console.log(JSON.stringify(line))

const client = new Etcd3({ hosts: url })
const lease = client.lease(ttlSeconds)
lease.on('keepaliveFailed', (error) => say({ event: 'keepaliveFailed', detail: String(error.message) }))
lease.on('lost', (error) => say({ event: 'lost', detail: String(error.message) }))
lease
  .put(key)
  .value(value)
  .then(() => say({ started: true, event: 'registered' }))

process.on('unhandledRejection', () => undefined)
process.stdin.on('end', () => process.exit(0)).resume()
