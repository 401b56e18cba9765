/** OneBot over HTTP on real sockets: an implementation that answers, posts what happens, and streams it. */
import { createHmac } from 'node:crypto'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { onebot } from '../../src/adapter/onebot.ts'
import { connect } from '../../src/link.ts'
import { listener } from '../../src/listen/listener.ts'
import { cleanUp, closeAll, held, TOKEN, until } from './callers.ts'

afterEach(closeAll)

const SECRET = 'canary-secret'
const message = (id: number) => ({ time: id, self_id: 10_001, post_type: 'message', message_id: id })

/** Statuses as the specification has them: 401 without a token, 403 with a wrong one, 404 for what it does not know. */
const implementation = async () => {
  const actions: [action: string, body: unknown][] = []
  const streams = new Set<ServerResponse>()
  const server = createServer(async (request, response) => {
    const { authorization } = request.headers
    if (authorization !== `Bearer ${TOKEN}`) return void response.writeHead(authorization ? 403 : 401).end()
    if (request.url === '/_events') {
      response.writeHead(200, { 'Content-Type': 'text/event-stream' }).flushHeaders()
      streams.add(response)
      return
    }
    let body = ''
    for await (const chunk of request) body += chunk
    const action = request.url!.slice(1)
    actions.push([action, JSON.parse(body)])
    const answers: Record<string, unknown> = {
      get_login_info: { user_id: 10_001, nickname: 'Ann' },
      get_status: { online: true, good: true },
      send_msg: { message_id: 7 },
    }
    if (!(action in answers)) return void response.writeHead(404).end()
    response.end(JSON.stringify({ status: 'ok', retcode: 0, data: answers[action] }))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  cleanUp(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  return { server, url: `http://127.0.0.1:${port}`, actions, streams }
}

const post = (port: number, event: object, secret = SECRET) => {
  const body = JSON.stringify(event)
  const signature = `sha1=${createHmac('sha1', secret).update(body).digest('hex')}`
  const headers = { 'X-Self-ID': '10001', 'X-Signature': signature }
  return fetch(`http://127.0.0.1:${port}/`, { method: 'POST', headers, body })
}

describe('HTTP with posts', () => {
  const linked = async (accessToken = TOKEN) => {
    const peer = await implementation()
    const port = listener({ port: 0 })
    const adapter = onebot({ url: peer.url, accessToken, listener: port, selfId: 10_001, secret: SECRET })
    const link = held(connect(adapter, { heartbeat: { quietMs: 300 } }))
    const heard: unknown[] = []
    link.inbound$.subscribe((event) => heard.push(event))
    return { ...peer, port, link, heard }
  }

  it('is one link: it asks in one direction and hears in the other', async () => {
    const { port, link, heard, actions } = await linked()
    await link.ready()
    expect((await post(port.port, message(1))).status).toBe(204)
    expect((await post(port.port, message(1))).status).toBe(204)
    expect((await post(port.port, message(2), 'guess')).status).toBe(403)
    expect(heard).toEqual([message(1)])
    expect(await link.send({ action: 'send_msg', params: { user_id: 1, message: 'hi' } })).toMatchObject({
      fate: 'delivered',
    })
    expect(actions.at(-1)).toEqual(['send_msg', { user_id: 1, message: 'hi' }])
    await expect(link.call('no_such_action', {})).rejects.toThrow('it does not know this action')
    expect(link.status.state).toBe('live')
  })

  it('answers posts with 503 while the implementation cannot be asked, and is live with it again', async () => {
    const { port, link, server, url } = await linked()
    await link.ready()
    const at = Number(new URL(url).port)
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
    await expect(link.call('get_status', {})).rejects.toThrow()
    await until(() => link.status.state !== 'live', 20_000)
    expect(link.status.fault?.code).toBe('refused')
    expect((await post(port.port, message(3))).status).toBe(503)
    await new Promise<void>((resolve) => server.listen(at, '127.0.0.1', resolve))
    await link.ready()
    expect((await post(port.port, message(3))).status).toBe(204)
  })

  it('with a wrong token waits for a person after one attempt', async () => {
    const { link, actions } = await linked('wrong')
    await until(() => link.status.state === 'parked')
    expect(link.status.fault).toMatchObject({ code: 'credentials-rejected', detail: 'HTTP 403' })
    expect(actions).toEqual([])
  })

  it('whose port is held by another is not live, and says so', async () => {
    const peer = await implementation()
    const port = listener({ port: Number(new URL(peer.url).port) })
    const link = held(connect(onebot({ url: peer.url, accessToken: TOKEN, listener: port, selfId: 1, secret: SECRET })))
    await until(() => link.status.fault)
    expect(link.status.fault?.code).toBe('listener-failed')
  })
})

describe('HTTP with a stream of events', () => {
  it('is live when the stream has begun, hears what comes, and dials again when it ends', async () => {
    const { url, streams } = await implementation()
    const link = held(connect(onebot({ url, accessToken: TOKEN })))
    const heard: unknown[] = []
    link.inbound$.subscribe((event) => heard.push(event))
    await link.ready()
    const [stream] = streams
    stream!.write(`data: ${JSON.stringify(message(1))}\n\ndata: no json\n\n`)
    await until(() => link.stats.frames.malformed === 1)
    expect(heard).toEqual([message(1)])
    stream!.end()
    await until(() => link.status.state === 'backoff')
    expect(link.status.fault).toMatchObject({ code: 'closed-by-peer', detail: 'the stream of events ended' })
    await link.ready()
    expect(streams.size).toBe(2)
  })
})
