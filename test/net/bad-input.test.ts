/** What users, resolvers and environments get wrong: each has a classified outcome, at once or as a fault. */
import { afterEach, describe, expect, it } from 'vitest'
import { freePort } from '../../src/cli/lab/peer-process.ts'
import { HoldfastError } from '../../src/error.ts'
import { connect } from '../../src/link.ts'
import { lookupBySystem } from '../../src/net/resolve.ts'
import type { LinkOptions } from '../../src/options.ts'
import { smallTalk } from '../small-talk.ts'
import { answering, closeAll, frameOf, rawServer, switching, until, upgrading } from '../transport/servers.ts'
import { atEnd, clearLoopback, listen } from './loopback.ts'

afterEach(clearLoopback)
afterEach(closeAll)

const start = (url: string, options: LinkOptions = {}) => {
  const link = connect(smallTalk({ url }), { proxy: false, ...options })
  atEnd(() => void link.stop({ drainMs: 0 }))
  return link
}

const faultOf = async (...args: Parameters<typeof start>) => {
  const link = start(...args)
  await until(() => link.status.state === 'backoff' || link.status.state === 'parked')
  return link.status.fault!
}

const refusal = (act: () => unknown): HoldfastError => {
  try {
    act()
  } catch (error) {
    expect(error).toBeInstanceOf(HoldfastError)
    return error as HoldfastError
  }
  return expect.unreachable()
}

describe('names', () => {
  it.each([
    ['that no name server was ever asked for', 'a..b'],
    ['that are too long', 'x'.repeat(300)],
    ['with a label that is too long', `${'x'.repeat(64)}.test`],
  ])('%s do not exist', async (_what, host) => {
    expect((await faultOf(`ws://${host}/`, { lookup: lookupBySystem })).code).toBe('name-not-found')
  })
})

describe('lists of addresses', () => {
  it('good and bad ones mixed: the good one is found, and found at once', async () => {
    const port = await freePort()
    await listen(
      '127.0.0.5',
      port,
      upgrading((socket) => void socket.write(frameOf(1, '{"op":"welcome"}'))),
    )
    const addresses = ['', 'name.test', '999.1.1.1', 'fe80::1', '127.0.0.4', '127.0.0.5']
    const startedAt = performance.now()
    const link = start(`ws://peer.test:${port}/`, {
      lookup: async () => addresses.map((address) => ({ address, family: 4 as const })),
    })
    await link.ready()
    expect(performance.now() - startedAt).toBeLessThan(500)
  })

  it('nothing but bad ones: each is on record', async () => {
    const lookup = async () => ['', 'name.test', 'fe80::1'].map((address) => ({ address, family: 6 as const }))
    const fault = await faultOf('ws://peer.test:9/', { lookup })
    expect(fault.code).toBe('unreachable')
    for (const address of ['name.test', 'fe80::1']) expect(fault.detail).toContain(address)
    expect(fault.detail!.match(/EINVAL/g)).toHaveLength(3)
  })
})

describe('ports', () => {
  it.each(['70000', '-1', '1e3', '65536'])('%s is no port: refused at once', (port) => {
    expect(refusal(() => start(`ws://127.0.0.1:${port}/`)).code).toBe('bad-option')
  })

  it('0 is a port where nobody listens', async () => {
    expect(['refused', 'unreachable']).toContain((await faultOf('ws://127.0.0.1:0/')).code)
  })
})

describe('credentials in a URL', () => {
  const PASSWORD = 'correct-horse'

  it('are used, and shown nowhere', async () => {
    const heard: string[] = []
    const { port } = await rawServer(
      answering((socket, request) => {
        heard.push(request)
        socket.write(switching(request))
        socket.write(frameOf(1, '{"op":"welcome"}'))
        setTimeout(() => socket.write(frameOf(1, `{"op":"fail","code":"kicked","why":"${PASSWORD}"}`)), 20)
      }),
    )
    const link = start(`ws://ann:${PASSWORD}@127.0.0.1:${port}/path?token=canary-token`)
    await until(() => link.status.state === 'parked')
    expect(heard[0]).toContain(`Authorization: Basic ${Buffer.from(`ann:${PASSWORD}`).toString('base64')}`)
    expect(heard[0]).toContain('GET /path?token=canary-token HTTP/1.1')
    const shown = JSON.stringify([link.status, link.recording, link.explain(), link.stats])
    expect(shown).not.toMatch(/correct-horse|canary-token|YW5u/)
  })

  it('are not repeated where the URL is refused', () => {
    const { message } = refusal(() => start(`ftp://ann:${PASSWORD}@127.0.0.1/`))
    expect(message).not.toContain(PASSWORD)
  })
})

describe('options of the network', () => {
  it.each([
    ['dns', { dns: { servers: [] } }],
    ['dns', { dns: { servers: ['name.test'] } }],
    ['dns', { dns: { servers: '1.1.1.1' } }],
    ['dns', { dns: { servers: ['1.1.1.1'], timeout: 5 } }],
    ['dns', { dns: 'auto' }],
    ['dns', { dns: { servers: ['1.1.1.1'] }, lookup: lookupBySystem }],
    ['proxy', { proxy: 'not a url' }],
    ['proxy', { proxy: true }],
  ])('%s: %j is refused at once', (name, options) => {
    const { code, message } = refusal(() => start('ws://127.0.0.1:1/', options as unknown as LinkOptions))
    expect(code).toBe('bad-option')
    expect(message).toContain(name)
  })
})
