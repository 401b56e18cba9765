/** The handlers on real sockets: node:http, a server of our own, and a real server as what depends on a link. */
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { type Health, health } from '../../src/health.ts'
import { service } from '../../src/service.ts'
import { type Rig, rig } from '../small-talk.ts'

const ending: (() => unknown)[] = []

afterEach(async () => {
  for (const end of ending.splice(0)) await end()
})

/** A link in virtual time: only the probes travel over real sockets. */
const made = async (live: boolean): Promise<Rig & { of: Health }> => {
  const here = rig({ healthy: live })
  if (live) await here.live()
  ending.push(here.end)
  return { ...here, of: health({ links: [here.link], clock: here.clock }) }
}

const listening = (server: Server): Promise<string> =>
  new Promise((resolve) => {
    ending.push(() => server.close())
    server.listen(0, '127.0.0.1', () => resolve(`http://127.0.0.1:${(server.address() as AddressInfo).port}`))
  })

const probe = async (url: string, method = 'GET') => {
  const response = await fetch(url, { method, headers: { Connection: 'close' } })
  const text = await response.text()
  return { status: response.status, headers: response.headers, text }
}

describe('a server of its own', () => {
  it('answers both probes, with a body but for HEAD', async () => {
    const { of, link, clock } = await made(true)
    const server = await of.listen({ port: 0 })
    ending.push(() => server.close())
    expect(server.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/)
    const ready = await probe(`${server.url}/readyz`)
    expect(ready.status).toBe(200)
    expect(JSON.parse(ready.text)).toEqual(JSON.parse(JSON.stringify(of.check())))
    const head = await probe(`${server.url}/readyz`, 'HEAD')
    expect([head.status, head.text, head.headers.get('content-length')]).toEqual([200, '', String(ready.text.length)])
    link.hold()
    await clock.advance(0)
    const held = await probe(`${server.url}/readyz`)
    expect([held.status, held.headers.get('retry-after')]).toEqual([503, '60'])
    expect(JSON.parse(held.text)).toMatchObject({ ready: false, state: 'parked', reason: 'held' })
    expect((await probe(`${server.url}/livez`)).status).toBe(200)
    expect((await probe(`${server.url}/metrics`)).status).toBe(404)
    expect((await probe(`${server.url}/livez`, 'POST')).status).toBe(405)
  })

  it('rejects where it cannot listen, and gives the port back when it is closed', async () => {
    const { of } = await made(false)
    const server = await of.listen({ port: 0 })
    const port = Number(new URL(server.url).port)
    await expect(of.listen({ port })).rejects.toMatchObject({ code: 'EADDRINUSE' })
    await server.close()
    const again = await of.listen({ port })
    await again[Symbol.asyncDispose]()
    await expect(fetch(`${server.url}/livez`)).rejects.toThrow()
  })
})

it('mounted in a server of the user, under names of theirs', async () => {
  const { of } = await made(false)
  const url = await listening(
    createServer((request, response) => {
      if (request.url === '/alive') of.livez(request, response)
      else if (request.url === '/ready') of.readyz(request, response)
      else of.handler(request, response)
    }),
  )
  const statuses = await Promise.all(['/alive', '/ready', '/livez', '/readyz', '/'].map((path) => probe(url + path)))
  expect(statuses.map(({ status }) => status)).toEqual([200, 503, 200, 503, 404])
})

it('a real server whose port is in use is named by health, and up soon after the port is free', async () => {
  const { link, clock } = await made(true)
  const other = createServer()
  const port = Number(new URL(await listening(other)).port)
  const http = service(link, {
    name: 'http',
    clock,
    start: () =>
      new Promise((resolve, reject) => {
        const server = createServer((_request, response) => response.end('hello')).once('error', reject)
        server.listen(port, '127.0.0.1', () => resolve(() => new Promise<void>((done) => server.close(() => done()))))
      }),
  })
  const of = health({ links: [link], services: [http], clock })
  const until = async (state: string) => {
    while (http.status.state !== state) await clock.advance(10)
  }
  await until('backoff')
  expect(of.check()).toMatchObject({ ready: false, state: 'live(degraded: http)' })
  expect(of.check().dependents[0]!.because).toContain('EADDRINUSE')
  await new Promise((resolve) => other.close(resolve))
  await until('running')
  expect(of.check()).toMatchObject({ ready: true, state: 'live' })
  expect((await probe(`http://127.0.0.1:${port}/`)).text).toBe('hello')
  void http.stop()
  await until('stopped')
  await expect(fetch(`http://127.0.0.1:${port}/`)).rejects.toThrow()
})
