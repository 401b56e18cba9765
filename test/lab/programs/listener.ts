/** Listens with the shortest backlog there is, for loopback.ts, which stops it then. */
import { type AddressInfo, createServer } from 'node:net'
import { obey, print } from './program.ts'

const server = createServer()
server.listen({ host: '127.0.0.1', port: 0, backlog: 1 }, () => print({ port: (server.address() as AddressInfo).port }))
obey(() => undefined)
