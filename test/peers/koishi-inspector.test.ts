/** The inspector mounted in the HTTP server of a real Koishi. */
import type { Server } from 'node:http'
import { createRequire } from 'node:module'
import { afterEach, expect, it, vi } from 'vitest'
import { freePort } from '../../src/cli/lab/peer-process.ts'
import { type Inspector, inspect } from '../../src/observe/inspect/index.ts'
import { FakeLink } from '../observe/fake-link.ts'
import { connectClient } from '../observe/viewer-client.ts'

const require = createRequire(import.meta.url)

/** As much of Koishi as is used here. */
interface Koishi {
  readonly Context: new () => App
  readonly Logger: { levels: object }
}
interface App {
  plugin(plugin: unknown, options: object): void
  inject(names: readonly string[], use: (context: { server: KoishiServer }) => void): void
  start(): Promise<void>
}
interface KoishiServer {
  readonly _http: Server
  all(path: string, answer: (koa: { respond: boolean; req: never; res: never }) => void): void
  ws(path: string, welcome: Inspector['connection']): void
}

const ending: (() => unknown)[] = []
afterEach(async () => {
  for (const end of ending.splice(0)) await end()
})

it('serves the page and the stream at its own port, and lets no other page in', async () => {
  const { Context, Logger } = require('koishi') as Koishi
  Logger.levels = { base: 0 }
  const inspector = await inspect([new FakeLink('a').asLink], { port: false, path: '/inspect/' })
  const app = new Context()
  const port = await freePort()
  app.plugin(require('@koishijs/plugin-server').Server, { host: '127.0.0.1', port })
  app.inject(['server'], ({ server }) => {
    server.all('/inspect/(.*)', (koa) => {
      koa.respond = false
      inspector.handler(koa.req, koa.res)
    })
    server.ws('/inspect/stream', inspector.connection)
    ending.push(
      () => inspector.close(),
      () => server._http.closeAllConnections(),
      () => server._http.close(),
    )
  })
  await app.start()
  const url = `http://127.0.0.1:${port}${inspector.url}`
  const answer = await vi.waitFor(() => fetch(url), { timeout: 10_000 })
  expect(answer.status).toBe(200)
  expect(answer.headers.get('content-security-policy')).toContain("default-src 'none'")
  const client = await connectClient(url)
  expect((await client.until('snap')).rows[0]![1]).toBe('a')
  client.socket.terminate()
  const stranger = await connectClient(url, 'wrong')
  expect(await stranger.closed).toMatchObject({ code: 4001 })
})
