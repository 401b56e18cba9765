/** What is posted to a listener: signed posts become frames, once; whatever else comes is refused before it costs much. */
import { createHmac, timingSafeEqual } from 'node:crypto'
import { afterEach, describe, expect, it } from 'vitest'
import type { Fault } from '../../machines/fault.ts'
import type { Berth, WebhookTerms } from '../../src/berth.ts'
import { readAnswer } from '../../src/exchange.ts'
import { type ListenerOptions, listener } from '../../src/listen/listener.ts'
import { calling, cleanUp, closeAll, SELF_ID, until } from './callers.ts'

afterEach(closeAll)

const SECRET = 'canary-secret'
const sign = (body: string | Uint8Array, secret = SECRET): string =>
  `sha1=${createHmac('sha1', secret).update(body).digest('hex')}`

const terms: WebhookTerms = {
  path: '/hook',
  identity: SELF_ID,
  identify: (headers) => headers['x-self-id'],
  verify: (headers, body) => {
    const wanted = Buffer.from(sign(body))
    const given = Buffer.from(headers['x-signature'] ?? '')
    return given.length === wanted.length && timingSafeEqual(given, wanted)
  },
}

/** A transport at the berth, and what it told. */
const open = (berth: Berth) => {
  const heard: string[] = []
  const told: string[] = []
  const lost: Fault[] = []
  const end = berth.transport({
    opened: () => told.push('opened'),
    ready: () => told.push('ready'),
    frame: (frame) => heard.push(String(frame)),
    event: () => undefined,
    inbound: () => told.push('inbound'),
    answered: () => undefined,
    drained: () => undefined,
    lost: (fault) => lost.push(fault),
  })
  cleanUp(end)
  return { heard, told, lost, end }
}

const hook = async (more: Partial<WebhookTerms> = {}, options: Partial<ListenerOptions> = {}) => {
  const port = listener({ port: 0, ...options })
  const berth = port.webhook({ ...terms, ...more })
  const link = berth.arrivals$.subscribe()
  cleanUp(() => link.unsubscribe())
  const transport = open(berth)
  await until(() => transport.told.includes('ready'))
  return { port, berth, transport, url: `http://127.0.0.1:${port.port}/hook` }
}

interface Sent {
  readonly headers?: Record<string, string>
  readonly method?: string
  readonly path?: string
}

const post = (url: string, body: string, { headers = {}, method = 'POST', path = '' }: Sent = {}) =>
  fetch(`${url}${path}`, {
    method,
    headers: { 'X-Self-ID': SELF_ID, 'X-Signature': sign(body), ...headers },
    ...(method === 'GET' ? {} : { body }),
  })

const event = JSON.stringify({ post_type: 'message', raw_message: '早上好' })

describe('a post', () => {
  it('that is signed becomes a frame, and is answered with 204', async () => {
    const { transport, url } = await hook()
    const answer = await post(url, event)
    expect([answer.status, await answer.text()]).toEqual([204, ''])
    expect(transport.heard.map(readAnswer)).toEqual([{ key: '/hook', kind: 'posted', body: event }])
    expect(transport.told).toEqual(['opened', 'ready', 'inbound'])
  })

  it.each<[what: string, body: string, sent: Sent, status: number]>([
    ['without a signature', event, { headers: { 'X-Signature': '' } }, 403],
    ['with the signature of another body', event, { headers: { 'X-Signature': sign('{}') } }, 403],
    ['signed by another secret', event, { headers: { 'X-Signature': sign(event, 'guess') } }, 403],
    ['with a prefix of the signature', event, { headers: { 'X-Signature': sign(event).slice(0, -1) } }, 403],
    ['with a longer signature', event, { headers: { 'X-Signature': `${sign(event)}0` } }, 403],
    ['for another account', event, { headers: { 'X-Self-ID': '10002' } }, 403],
    ['for no account', event, { headers: { 'X-Self-ID': '' } }, 403],
    ['that is compressed', event, { headers: { 'Content-Encoding': 'gzip' } }, 415],
    ['that is none', event, { method: 'GET' }, 405],
    ['that is a PUT', event, { method: 'PUT' }, 405],
    ['to another path', event, { path: '/elsewhere' }, 404],
    ['that is bigger than allowed', 'x'.repeat(2_000), {}, 413],
  ])('%s is refused', async (_what, body, sent, status) => {
    const { transport, url } = await hook({ bytesMax: 1_000 })
    expect((await post(url, body, sent)).status).toBe(status)
    expect(transport.heard).toEqual([])
    expect((await post(url, event)).status).toBe(204)
    expect(transport.heard).toHaveLength(1)
  })

  it('that comes again is answered and dropped, and is heard once more when its time is over', async () => {
    const { transport, url } = await hook({ dedupeMs: 100 })
    expect((await post(url, event)).status).toBe(204)
    expect((await post(url, event)).status).toBe(204)
    expect(transport.heard).toHaveLength(1)
    await new Promise((resolve) => setTimeout(resolve, 130))
    expect((await post(url, event)).status).toBe(204)
    expect(transport.heard).toHaveLength(2)
  })

  it('that comes while no more can be held is answered with 503 unread, and is heard when it comes again', async () => {
    let isFull: () => boolean = () => true
    const { transport, url } = await hook({ isFull: () => isFull() })
    const refusing: (() => boolean)[] = [
      () => true,
      () => {
        throw new Error('a bug of the adapter')
      },
    ]
    for (const each of refusing) {
      isFull = each
      const answer = await post(url, event)
      expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '5'])
    }
    // it became full while the body was on its way
    let asked = 0
    isFull = () => ++asked > 1
    expect((await post(url, event)).status).toBe(503)
    expect(transport.heard).toEqual([])
    isFull = () => false
    expect((await post(url, event)).status).toBe(204)
    expect(transport.heard).toHaveLength(1)
  })

  it('that comes while there is no transport is answered with 503, and is heard when it comes again', async () => {
    const { berth, transport, url } = await hook()
    transport.end()
    const answer = await post(url, event)
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '5'])
    const next = open(berth)
    await until(() => next.told.includes('ready'))
    expect((await post(url, event)).status).toBe(204)
    expect(next.heard).toHaveLength(1)
    expect(transport.heard).toEqual([])
  })

  it.each([
    [
      'without a length that grows beyond the bound is cut',
      'Transfer-Encoding: chunked',
      `${'3e8\r\n'}${'x'.repeat(1_000)}\r\n`,
      413,
    ],
    ['that says it is bigger than allowed is not read', 'Content-Length: 99999999', '', 413],
    ['whose length is a lie is cut', 'Content-Length: -1', '', 400],
  ])('%s', async (_what, header, body, status) => {
    const { transport, port } = await hook({ bytesMax: 1_500 })
    const call = calling(
      port.port,
      `POST /hook HTTP/1.1\r\nHost: x\r\nX-Self-ID: ${SELF_ID}\r\n${header}\r\n\r\n${body}`,
    )
    call.socket.write(body)
    expect(await call.answer).toMatch(new RegExp(`^HTTP/1.1 ${status}`))
    expect(transport.heard).toEqual([])
  })

  it('that drips is cut when its time is over, however often a byte comes', async () => {
    const { transport, port } = await hook({}, { requestMs: 250 })
    const call = calling(
      port.port,
      `POST /hook HTTP/1.1\r\nHost: x\r\nX-Self-ID: ${SELF_ID}\r\nContent-Length: 100\r\n\r\n`,
    )
    const drip = setInterval(() => call.socket.write('x'), 20)
    expect(await call.answer).toMatch(/^HTTP\/1.1 408/)
    clearInterval(drip)
    expect(transport.heard).toEqual([])
  })

  it('whose sender leaves in the middle is forgotten', async () => {
    const { transport, port, url } = await hook()
    const call = calling(
      port.port,
      `POST /hook HTTP/1.1\r\nHost: x\r\nX-Self-ID: ${SELF_ID}\r\nContent-Length: 100\r\n\r\nx`,
    )
    await new Promise((resolve) => setTimeout(resolve, 20))
    call.socket.resetAndDestroy()
    expect((await post(url, event)).status).toBe(204)
    expect(transport.heard).toHaveLength(1)
  })

  it('with a wrong signature is looked at ten times a minute', async () => {
    const { url } = await hook()
    const wrong = { headers: { 'X-Signature': 'sha1=0' } }
    for (let i = 0; i < 10; i++) expect((await post(url, event, wrong)).status).toBe(403)
    const late = await post(url, event)
    expect(late.status).toBe(429)
    expect(Number(late.headers.get('retry-after'))).toBeGreaterThan(50)
  })

  it('is one of 64 that are read at a time: one more is asked to come again', async () => {
    const { port, url } = await hook()
    const head = `POST /hook HTTP/1.1\r\nHost: x\r\nX-Self-ID: ${SELF_ID}\r\nContent-Length: 100\r\n\r\nx`
    const open = Array.from({ length: 64 }, () => calling(port.port, head))
    await Promise.all(open.map(({ socket }) => new Promise((resolve) => socket.once('connect', resolve))))
    await new Promise((resolve) => setTimeout(resolve, 100))
    expect((await post(url, event)).status).toBe(503)
    for (const { socket } of open) socket.destroy()
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect((await post(url, event)).status).toBe(204)
  })

  it('over one connection after another is taken: senders keep theirs open', async () => {
    const { transport, url } = await hook()
    for (let i = 0; i < 5; i++) expect((await post(url, JSON.stringify({ i }))).status).toBe(204)
    expect(transport.heard).toHaveLength(5)
  })

  it('is refused by terms that throw, and nothing else happens', async () => {
    const { url } = await hook({
      verify: () => {
        throw new Error('a bug of the adapter')
      },
    })
    expect((await post(url, event)).status).toBe(403)
  })

  it('of odd lines is no post, and the listener goes on', async () => {
    const { port, url } = await hook()
    const odd = ['\r\n\r\n', 'POST\r\n\r\n', 'POST /hook HTTP/9.9\r\n\r\n', '\0\0\0\0', `${'A'.repeat(20_000)}`]
    for (const text of odd) {
      const call = calling(port.port, text)
      call.socket.end()
      await call.answer
    }
    const smuggled =
      'POST /hook HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'
    expect(await calling(port.port, smuggled).answer).toMatch(/^HTTP\/1.1 400/)
    expect((await post(url, event)).status).toBe(204)
  })
})

describe('a webhook', () => {
  it('shares its port with others', async () => {
    const { port, url } = await hook({ path: '/hook' })
    const second = open(port.webhook({ ...terms, path: '/second' }))
    await until(() => second.told.includes('ready'))
    expect((await post(url.replace('/hook', '/second'), event)).status).toBe(204)
    expect(second.heard).toHaveLength(1)
  })

  it('has one transport at a time, and is lost when its port cannot be opened', async () => {
    const { berth, port, transport } = await hook()
    const second = open(berth)
    await until(() => second.lost.length === 1)
    expect(second.lost[0]).toMatchObject({ code: 'listener-failed', detail: expect.stringContaining('another link') })
    const taken = open(listener({ port: port.port }).webhook(terms))
    await until(() => taken.lost.length === 1)
    expect(taken.lost[0]).toMatchObject({ code: 'listener-failed', detail: expect.stringContaining('EADDRINUSE') })
    expect(transport.lost).toEqual([])
  })

  it('keeps the memory of what it took over its transports', async () => {
    const { berth, transport, url } = await hook()
    await post(url, event)
    transport.end()
    const next = open(berth)
    await until(() => next.told.includes('ready'))
    expect((await post(url, event)).status).toBe(204)
    expect(next.heard).toEqual([])
  })

  it('wants a function that verifies', () => {
    expect(() => listener({ port: 0 }).webhook({ ...terms, verify: 'yes' as never })).toThrow(/verify/)
  })
})
