/** Questions and answers over real sockets. */
import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { realClock } from '../../src/clock.ts'
import { type Answer, ask, cancel, readAnswer } from '../../src/exchange.ts'
import { openHttp } from '../../src/transport/http.ts'
import { Dialed } from './servers.ts'

const servers: Server[] = []
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections()
    server.close()
  }
})

const serve = async (answer: RequestListener): Promise<string> => {
  const server = createServer(answer)
  servers.push(server)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/base/`
}

const limits = { maxPayloadBytes: 4_096, tlsMs: 1_000, connectMs: 1_000 }

const openTo = async (url: string) => {
  const dialed = new Dialed()
  const addresses = [{ address: '127.0.0.1', family: 4 as const }]
  const headers = { Authorization: 'Bearer t' }
  dialed.end = openHttp({ target: { url, headers }, addresses, clock: realClock, ...limits })(dialed)
  const until = async (done: () => boolean) => {
    for (let i = 0; i < 300 && !done(); i++) await new Promise((resolve) => setTimeout(resolve, 10))
    expect(done()).toBe(true)
  }
  const answers = () => dialed.frames.map((frame) => readAnswer(frame)) as Answer[]
  await until(() => dialed.pipe !== undefined || dialed.losses.length > 0)
  return { dialed, answers, until, pipe: dialed.pipe! }
}

const question = { key: 'q', method: 'POST', path: 'getMe', withinMs: 2_000 }

test('a question is asked below the URL with the headers of the target, and its answer is a frame', async () => {
  const url = await serve((request, response) => {
    let body = ''
    request.on('data', (chunk) => {
      body += chunk
    })
    request.on('end', () => {
      const { authorization } = request.headers
      response.writeHead(201, { 'X-Id': '7' }).end(`${request.method} ${request.url} ${authorization} ${body}`)
    })
  })
  const { dialed, answers, until, pipe } = await openTo(url)
  pipe.send(ask({ ...question, body: 'hello' }))
  await until(() => answers().length === 1)
  expect(answers()[0]).toMatchObject({
    key: 'q',
    kind: 'whole',
    status: 201,
    headers: { 'x-id': '7' },
    body: 'POST /base/getMe Bearer t hello',
  })
  expect(dialed.told.slice(0, 2)).toEqual(['opened', 'ready'])
  expect(dialed.told.at(-1)).toBe('inbound')
  dialed.end()
})

test('a question that is not answered in time is told so, and the transport stands', async () => {
  const url = await serve((request, response) => {
    if (request.url === '/base/getMe') response.end('me')
  })
  const { dialed, answers, until, pipe } = await openTo(url)
  pipe.send(ask({ ...question, key: 'mute', path: 'mute', withinMs: 100 }))
  await until(() => answers().length === 1)
  expect(answers()[0]).toMatchObject({ key: 'mute', kind: 'fault', fault: { code: 'answer-timeout' } })
  pipe.send(ask(question))
  await until(() => answers().length === 2)
  expect(answers()[1]).toMatchObject({ kind: 'whole', body: 'me' })
  expect(dialed.losses).toEqual([])
  dialed.end()
})

test('events and comments of a stream arrive as they come; a comment is a sign of life', async () => {
  let write: (text: string) => void = () => undefined
  let end: () => void = () => undefined
  const url = await serve((_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    write = (text) => void response.write(text)
    end = () => void response.end()
    write(': hello\n\n')
  })
  const { dialed, answers, until, pipe } = await openTo(url)
  pipe.send(ask({ ...question, stream: 'events' }))
  await until(() => answers().length === 1)
  expect(answers()[0]).toMatchObject({ kind: 'opened', status: 200 })
  const before = dialed.told.filter((text) => text === 'inbound').length
  write(': still here\n\n')
  await until(() => dialed.told.filter((text) => text === 'inbound').length > before)
  write('id: 5\nevent: note\ndata: {"a":')
  write('1}\n\n')
  await until(() => answers().length === 2)
  expect(answers()[1]).toEqual({ key: 'q', kind: 'event', type: 'note', id: '5', data: '{"a":1}' })
  end()
  await until(() => answers().length === 3)
  expect(answers()[2]).toEqual({ key: 'q', kind: 'ended' })
  dialed.end()
})

test('lines of a stream, and what is too big or broken', async () => {
  const url = await serve((request, response) => {
    if (request.url === '/base/lines') {
      response.write('{"n":1}\n{"n"')
      response.write(':2}\n')
      setTimeout(() => response.destroy(), 50)
    } else response.end('x'.repeat(10_000))
  })
  const { dialed, answers, until, pipe } = await openTo(url)
  pipe.send(ask({ ...question, key: 'lines', path: 'lines', stream: 'lines' }))
  await until(() => answers().length === 4)
  expect(answers().map((answer) => ('line' in answer ? answer.line : answer.kind))).toEqual([
    'opened',
    '{"n":1}',
    '{"n":2}',
    'fault',
  ])
  pipe.send(ask({ ...question, key: 'big', path: 'big' }))
  await until(() => answers().length === 5)
  expect(answers()[4]).toMatchObject({ key: 'big', fault: { code: 'frame-too-big' } })
  expect(dialed.losses).toEqual([])
  dialed.end()
})

test('nothing comes of a question that was cancelled, replaced, or whose transport was ended', async () => {
  const asked: string[] = []
  const url = await serve((request, response) => {
    asked.push(request.url!)
    setTimeout(() => response.end(request.url), 80)
  })
  const { dialed, answers, until, pipe } = await openTo(url)
  pipe.send(ask({ ...question, key: 'a', path: 'a1' }))
  pipe.send(ask({ ...question, key: 'a', path: 'a2' }))
  pipe.send(ask({ ...question, key: 'b', path: 'b' }))
  pipe.send(ask({ ...question, key: 'late', path: 'late', afterMs: 10_000 }))
  pipe.send(cancel('b'))
  await until(() => answers().length === 1)
  expect(answers()[0]).toMatchObject({ key: 'a', body: '/base/a2' })
  pipe.send(ask(question))
  dialed.end()
  await new Promise((resolve) => setTimeout(resolve, 200))
  expect(answers()).toHaveLength(1)
  expect(dialed.losses).toEqual([])
  expect(asked).not.toContain('/base/late')
})

test('a path that leads to another host is not asked: it would carry the token there', async () => {
  const url = await serve((_, response) => response.end('never'))
  const { dialed, answers, until, pipe } = await openTo(url)
  pipe.send(ask({ ...question, path: 'http://127.0.0.2:1/' }))
  await until(() => answers().length === 1)
  expect(answers()[0]).toMatchObject({ kind: 'fault', fault: { detail: /another host/ } })
  dialed.end()
})

test('a host that refuses is a loss with the dialer’s account; the goodbye is a close', async () => {
  const refused = await openTo('http://127.0.0.1:9/')
  expect(refused.dialed.losses[0]?.fault.code).toBe('refused')
  const { dialed, until, pipe } = await openTo(await serve((_, response) => response.end()))
  pipe.close()
  await until(() => dialed.losses.length === 1)
  expect(dialed.losses[0]).toMatchObject({ fault: { code: 'closed-by-peer' }, close: { code: 1000 } })
})

test('a close waits for the answer to the goodbye, and for nothing else that is open', async () => {
  const url = await serve((request, response) => {
    if (request.url === '/base/goodbye') setTimeout(() => response.end('bye'), 150)
  })
  const { dialed, answers, until, pipe } = await openTo(url)
  pipe.send(ask({ ...question, key: 'poll', path: 'poll' }))
  pipe.send(ask({ ...question, key: 'bye', path: 'goodbye', isGoodbye: true }))
  pipe.close()
  await new Promise((resolve) => setTimeout(resolve, 50))
  expect(dialed.losses).toEqual([])
  await until(() => dialed.losses.length === 1)
  expect(answers()).toMatchObject([{ key: 'bye', body: 'bye' }])
  expect(dialed.losses[0]).toMatchObject({ fault: { code: 'closed-by-peer' }, close: { code: 1000 } })
})

test('a goodbye that is not answered in time does not hold the close up', async () => {
  const url = await serve(() => undefined)
  const { dialed, answers, until, pipe } = await openTo(url)
  pipe.send(ask({ ...question, isGoodbye: true, withinMs: 100 }))
  pipe.close()
  await until(() => dialed.losses.length === 1)
  expect(answers()).toMatchObject([{ fault: { code: 'answer-timeout' } }])
})
