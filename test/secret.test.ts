/** Secrets are never shown: not by the type that holds them, not in texts of others, not anywhere on a link. */
import { format, inspect } from 'node:util'
import fc from 'fast-check'
import { afterEach, describe, expect, it } from 'vitest'
import { type WebSocket, WebSocketServer } from 'ws'
import { onebot } from '../src/adapter/onebot.ts'
import { satori } from '../src/adapter/satori.ts'
import { connect, type Link } from '../src/link.ts'
import { decodePercent, isSecret, publicUrl, reveal, scrubber, secret, secretsOfUrl } from '../src/secret.ts'

const TOKEN = 'canary/0123+45 67='

describe('a secret', () => {
  const hidden = secret(TOKEN)

  it.each([
    ['String', String(hidden)],
    ['a template', `${hidden}`],
    ['concatenation', `${hidden as unknown as string}`],
    ['JSON', JSON.stringify({ token: hidden, list: [hidden] })],
    [
      'inspect',
      inspect({ token: hidden, deep: { deep: { deep: { deep: hidden } } } }, { depth: 10, showHidden: true }),
    ],
    ['a log line', format('%s %o %O %j %d', hidden, hidden, hidden, hidden, hidden)],
    ['an error', new Error(`bad token ${hidden}`).stack ?? ''],
    ['an error cause', inspect(new Error('x', { cause: hidden }))],
    ['its keys', Object.keys(hidden).join() + JSON.stringify(Object.entries(hidden))],
    ['a structured clone', inspect(structuredClone({ ...hidden }))],
  ])('prints as stars in %s', (_how, printed) => {
    expect(printed).not.toContain('canary')
  })

  it('prints as *** and is revealed only when asked', () => {
    expect([`${hidden}`, JSON.stringify(hidden), inspect(hidden)]).toEqual(['***', '"***"', '***'])
    expect([reveal(hidden), reveal('plain'), hidden.reveal()]).toEqual([TOKEN, 'plain', TOKEN])
  })

  it('is known across copies of the package', () => {
    const twin = { [Symbol.for('holdfast.secret')]: true, reveal: () => TOKEN }
    expect([hidden, twin, TOKEN, null, {}].map(isSecret)).toEqual([true, true, false, false, false])
    expect(reveal(twin as unknown as string)).toBe(TOKEN)
  })
})

describe('the scrubber', () => {
  const scrub = scrubber([TOKEN, 'say "no"\\', '', 'abc'])

  it.each([
    ['plain', `got ${TOKEN}!`, 'got ***!'],
    ['URL-encoded', `got ${encodeURIComponent(TOKEN)}!`, 'got ***!'],
    ['form-encoded', `got ${new URLSearchParams({ t: TOKEN })}!`, 'got t=***!'],
    ['base64', `got ${Buffer.from(TOKEN).toString('base64')}!`, 'got ***!'],
    ['base64 without padding', `got ${Buffer.from(TOKEN).toString('base64').replace(/=+$/, '')}!`, 'got ***!'],
    ['base64url', `got ${Buffer.from(TOKEN).toString('base64url')}!`, 'got ***!'],
    ['JSON', `got ${JSON.stringify('say "no"\\')}!`, 'got "***"!'],
    ['several times', `${TOKEN},${TOKEN}`, '***,***'],
  ])('takes it out %s', (_form, text, clean) => {
    expect(scrub(text)).toBe(clean)
  })

  it('leaves the rest alone, and what is too short to be a secret', () => {
    expect(scrub('abc is the alphabet')).toBe('abc is the alphabet')
    expect(scrubber([])('nothing to hide')).toBe('nothing to hide')
  })

  it('takes the longest first, so that no end of it stays', () => {
    expect(scrubber(['abcd', 'abcdefgh'])('abcdefgh abcd')).toBe('*** ***')
  })

  it('takes the secrets of URLs out, whichever they are', () => {
    expect(scrub('cannot dial wss://ann:pass@host:8443/bot123:ABC-def/x?token=t1&v=2#frag today')).toBe(
      'cannot dial wss://host:8443/bot***/x?token=***&v=*** today',
    )
  })

  it.each([
    ['control characters', 'a\u0000b\u0007c\u009bd\u007fe', 'a b c d e'],
    ['lines', 'a\r\nb\u2028c\u2029d', 'a b c d'],
    ['ANSI', '\u001b[2Jgone\u001b]52;c;aGk=\u0007', '[2Jgone ]52;c;aGk='],
    ['bidirectional marks', 'a\u202eb\u2066c\u2069d\u200fe\u200ef\u061cg', 'a b c d e f g'],
  ])('takes out %s', (_what, text, clean) => {
    expect(scrub(text)).toBe(clean)
  })

  it('never shows a token, whatever stands around it', () => {
    fc.assert(
      fc.property(
        fc.string({ minLength: 4, maxLength: 40, unit: 'binary' }),
        fc.string(),
        fc.string(),
        (token, before, after) => {
          fc.pre(token.trim().length >= 4 && !'***…'.includes(token))
          const clean = scrubber([token])(`${before} ${token} ${after}`)
          expect(clean.replaceAll('***', '')).not.toContain(token)
          expect(clean.length).toBeLessThanOrEqual(513)
        },
      ),
    )
  })

  it('keeps a long text short, and is quick about it', () => {
    const startedAt = performance.now()
    const clean = scrub(`${'wss://'.repeat(100_000)}${TOKEN}`)
    expect(clean.length).toBeLessThanOrEqual(513)
    expect(scrub(`${'x'.repeat(505)}${TOKEN}`)).not.toContain('canary')
    expect(performance.now() - startedAt).toBeLessThan(1_000)
  })
})

describe('URLs', () => {
  it('are shown without user, password, query values, fragment and credential path parts', () => {
    expect(publicUrl('ws://u:p@h:1/p?a=1&b&a=2#f')).toBe('ws://h:1/p?a=***&b=***&a=***')
    expect(publicUrl('https://api.telegram.org/bot123:AbC/getMe')).toBe('https://api.telegram.org/bot***/getMe')
    expect(publicUrl('ws://h')).toBe('ws://h/')
    expect(publicUrl('no url, maybe a token')).toBe('***')
  })

  it('tell all that is secret in them, also as it travels in a header', () => {
    expect(secretsOfUrl('ws://ann:p%40ss@h/bot123:ABC/?k=v%20w')).toEqual([
      'ann',
      'p@ss',
      'ann:p@ss',
      'v w',
      '123:ABC',
      'ABC',
    ])
    expect(secretsOfUrl('ws://ann:100%@h/')).toContain('100%')
    expect(secretsOfUrl('nowhere')).toEqual([])
    expect([decodePercent('%41%'), decodePercent('%41')]).toEqual(['%41%', 'A'])
  })
})

describe('a link whose peer repeats the token', () => {
  const servers: WebSocketServer[] = []
  const links: Link[] = []
  afterEach(async () => {
    for (const link of links.splice(0)) await link.stop({ drainMs: 0 })
    for (const server of servers.splice(0)) {
      for (const client of server.clients) client.terminate()
      await new Promise((resolve) => server.close(resolve))
    }
  })

  const canary = 'canary-Zx81/Spectrum+=='
  const forms = [
    canary,
    encodeURIComponent(canary),
    Buffer.from(canary).toString('base64'),
    Buffer.from(`ann:${canary}`).toString('base64'),
  ]

  const peer = async (met: (client: WebSocket, heard: string) => void): Promise<number> => {
    const server = new WebSocketServer({ host: '127.0.0.1', port: 0 })
    servers.push(server)
    server.on('connection', (client, { headers }) => met(client, `${headers.authorization}`))
    await new Promise((resolve) => server.once('listening', resolve))
    return (server.address() as { port: number }).port
  }

  /** Everything that a user, a log or a page can see of a link. */
  const shown = (link: Link, more: readonly unknown[]): string =>
    [link.status, link.recording, link.stats, link.explain(), link.explain({ language: 'zh' }), ...more]
      .map(
        (each) =>
          `${JSON.stringify(each)} ${inspect(each, { depth: 10, showHidden: true })} ${each instanceof Error ? each.stack : ''}`,
      )
      .join('\n') + inspect(link, { depth: 4 })

  const judge = (link: Link, more: readonly unknown[] = []) => {
    const all = shown(link, more)
    expect(all).toContain('***')
    for (const form of forms) expect(all).not.toContain(form)
  }

  it.each(forms)('in a close reason, as %s', async (form) => {
    const port = await peer((client) => client.close(4001, `bad: ${form}`.slice(0, 120)))
    const link = connect(
      onebot({ url: `ws://ann:${encodeURIComponent(canary)}@127.0.0.1:${port}/`, accessToken: canary }),
    )
    links.push(link as Link)
    const seen: unknown[] = []
    link.state$.subscribe((status) => seen.push(status))
    link.transitions$.subscribe((record) => seen.push(record))
    await expect.poll(() => link.status.state).toBe('backoff')
    expect(link.status.fault?.detail).toBe('close 4001: bad: ***')
    judge(link as Link, seen)
  })

  it('in a refusal that parks it, and in the error of ready()', async () => {
    const port = await peer((client, heard) => {
      client.send(JSON.stringify({ status: 'failed', retcode: 1403, message: `token ${heard} is wrong`, echo: null }))
    })
    const link = connect(
      onebot({ url: `ws://127.0.0.1:${port}/?access_token=${encodeURIComponent(canary)}`, accessToken: canary }),
    )
    links.push(link as Link)
    const error = await link.ready().catch((reason: unknown) => reason)
    expect(error).toMatchObject({ code: 'parked', message: expect.stringContaining('***') })
    judge(link as Link, [error])
  })

  it('in the refusal of a call, and of a message', async () => {
    const port = await peer((client, heard) => {
      client.send(JSON.stringify({ post_type: 'meta_event', meta_event_type: 'lifecycle' }))
      client.on('message', (raw: Buffer) => {
        const { echo } = JSON.parse(raw.toString())
        client.send(JSON.stringify({ status: 'failed', retcode: 100, wording: `${heard} may not`, echo }))
      })
    })
    const link = connect(onebot({ url: `ws://127.0.0.1:${port}/`, accessToken: canary }))
    links.push(link as Link)
    await link.ready()
    const error = await link.call('send_msg', {}).catch((reason: unknown) => reason)
    const receipt = await link.send({ action: 'send_msg' })
    expect(error).toMatchObject({ code: 'refused' })
    expect(receipt).toEqual({ fate: 'refused', detail: 'retcode 100: *** may not' })
    judge(link as Link, [error, receipt])
  })

  it('in the answer of the API beside it', async () => {
    const port = await peer((client) => client.send(JSON.stringify({ op: 4, body: { logins: [] } })))
    const [server] = servers
    const options = { url: `ws://127.0.0.1:${port}/v1/events`, token: canary }
    // the server of ws answers plain HTTP with 426 and without reading; so the API is a handler before it
    const http = (server as unknown as { _server: import('node:http').Server })._server
    http.removeAllListeners('request')
    http.on('request', ({ headers }, response) => response.writeHead(403).end(`no: ${headers.authorization}`))
    const link = connect(satori(options))
    links.push(link as Link)
    await link.ready()
    const error = await link.call('login.get').catch((reason: unknown) => reason)
    expect(error).toMatchObject({ code: 'refused', message: expect.stringMatching(/HTTP 403: no: (Bearer )?\*\*\*/) })
    judge(link as Link, [error])
  })

  it('in an error of the provider: a URL with the token in it', async () => {
    const link = connect(
      onebot({
        url: 'ws://127.0.0.1:1/',
        accessToken: () => {
          throw new Error(`cannot fetch https://vault/?key=${encodeURIComponent(canary)}`)
        },
      }),
    )
    links.push(link as Link)
    await expect.poll(() => link.status.state).toBe('backoff')
    judge(link as Link)
  })
})
