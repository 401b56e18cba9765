/** Leases at a real etcd. */
import { generateKeyPairSync, randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { inspect } from 'node:util'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { freePort } from '../../src/cli/lab/peer-process.ts'
import { type EtcdLeaseStoreOptions, etcdLeaseStore } from '../../src/lease/etcd.ts'
import type { LeaseStore } from '../../src/lease/store.ts'
import { secret } from '../../src/secret.ts'
import { httpProxy } from '../net/proxies.ts'
import { type Etcd, type EtcdOptions, hasEtcd, startEtcd } from '../peers/etcd.ts'
import { pem } from '../transport/servers.ts'
import { outagesOf, promisesOf } from './store-contract.ts'

const ends: (() => unknown)[] = []
afterAll(async () => {
  for (const end of ends.reverse()) await end()
})

const started = async (options?: EtcdOptions): Promise<Etcd> => {
  const server = await startEtcd(options)
  ends.push(() => server.stop())
  return server
}

/** What was asked of each relay. */
const asked = new Map<string, string[]>()
const loginsAt = (relay: string) => asked.get(relay)!.filter((path) => path === '/v3/auth/authenticate').length

type Manner = 'loses answers' | 'is no etcd' | 'answers nonsense' | 'secured' | 'counts' | 'repeats' | 'cancels a watch'

/** A member that passes everything on to a real etcd, but for its manner. */
const relay = async (to: Etcd, manner: Manner): Promise<string> => {
  const paths: string[] = []
  const answer = async (request: IncomingMessage, response: ServerResponse) => {
    paths.push(request.url ?? '')
    const { authorization } = request.headers
    const body = await text(request)
    if (manner === 'is no etcd') return response.writeHead(200).end('<h1>It works!</h1>')
    if (manner === 'answers nonsense') return response.writeHead(200).end('{}')
    if (manner === 'repeats')
      return response.writeHead(400).end(JSON.stringify({ code: 3, message: `You said ${body}` }))
    if (manner === 'cancels a watch' && request.url === '/v3/watch') {
      const isFirst = paths.filter((path) => path === request.url).length === 1
      return response.end(`${JSON.stringify({ result: { created: true, canceled: isFirst } })}\n`)
    }
    const headers: Record<string, string> = authorization === undefined ? {} : { Authorization: authorization }
    const real = await fetch(`${to.url}${request.url}`, { method: 'POST', headers, body })
    const said = await real.text()
    if (manner === 'loses answers') return response.destroy()
    return response.writeHead(real.status).end(said)
  }
  const listener = (request: IncomingMessage, response: ServerResponse) => void answer(request, response)
  const server =
    manner === 'secured'
      ? createTlsServer({ key: pem('key'), cert: pem('localhost') }, listener)
      : createServer(listener)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  ends.push(() => {
    server.closeAllConnections()
    server.close()
  })
  const host = manner === 'secured' ? 'https://localhost' : 'http://127.0.0.1'
  const url = `${host}:${(server.address() as AddressInfo).port}`
  asked.set(url, paths)
  return url
}

const signal = new AbortController().signal

const title = hasEtcd ? 'a real etcd' : 'a real etcd (left out: there is none here, package etcd-server)'

;(hasEtcd ? describe.concurrent : describe.skip)(title, () => {
  let shared: Etcd
  beforeAll(async () => {
    shared = await started()
  })

  promisesOf('etcdLeaseStore', async (place) => etcdLeaseStore({ url: shared.url, prefix: `${place}/` }))
  outagesOf('etcdLeaseStore in an outage', async () => {
    const server = await started()
    return { server, open: async () => etcdLeaseStore({ url: server.url }) }
  })

  const opened = (options: EtcdLeaseStoreOptions): LeaseStore => {
    const store = etcdLeaseStore(options)
    ends.push(() => store.close())
    return store
  }
  const revisionAt = async (server: Etcd, key: string) =>
    (await server.ask('kv/range', { key: Buffer.from(key).toString('base64') })) as {
      kvs?: { version: string; mod_revision: string }[]
    }

  test('records are under the prefix, holdfast/ unless told', async () => {
    const store = opened({ url: shared.url })
    const other = opened({ url: `${shared.url}/`, prefix: '群/' })
    const placed = randomUUID()
    const revision = await store.replace(placed, null, 'x', signal)
    expect((await revisionAt(shared, `holdfast/${placed}`)).kvs?.[0]?.mod_revision).toBe(String(revision))
    expect(await other.read(placed, signal)).toBeNull()
    await other.replace(placed, null, 'y', signal)
    expect((await revisionAt(shared, `群/${placed}`)).kvs).toHaveLength(1)
  })

  test('a record that was deleted is none, and is made anew', async () => {
    const store = opened({ url: shared.url })
    const erased = randomUUID()
    const revision = (await store.replace(erased, null, 'x', signal))!
    await shared.ask('kv/deleterange', { key: Buffer.from(`holdfast/${erased}`).toString('base64') })
    expect(await store.read(erased, signal)).toBeNull()
    expect(await store.replace(erased, revision, 'never', signal)).toBeNull()
    expect(await store.replace(erased, null, 'y', signal)).toBeGreaterThan(revision)
  })

  test('a member that is down, and one that hangs, are passed over, and not asked first again', async () => {
    const [down, hangs] = [`http://127.0.0.1:${await freePort()}`, await started()]
    hangs.freeze()
    const store = opened({ urls: [down, hangs.url, shared.url] })
    const reached = randomUUID()
    const begun = performance.now()
    const made = await store.read(reached, signal)
    expect(made).toBeNull()
    const first = performance.now() - begun
    expect(first).toBeGreaterThan(1_000)
    expect(first).toBeLessThan(4_500)
    expect(await store.replace(reached, null, 'x', signal)).toBeGreaterThan(0)
    expect((await store.read(reached, signal))?.value).toBe('x')
    expect(performance.now() - begun - first).toBeLessThan(1_000)
    hangs.thaw()
  })

  test('a write that certainly went nowhere goes to the next member', async () => {
    const store = opened({ urls: [`http://127.0.0.1:${await freePort()}`, shared.url] })
    expect(await store.replace(randomUUID(), null, 'x', signal)).toBeGreaterThan(0)
  })

  test('a write whose answer was lost is not made again: that would meet itself and look like a conflict', async () => {
    const deaf = await relay(shared, 'loses answers')
    const store = opened({ urls: [deaf, shared.url] })
    const twice = randomUUID()
    await expect(store.replace(twice, null, 'x', signal)).rejects.toMatchObject({ code: 'store-failed' })
    const found = await store.read(twice, signal)
    expect(found?.value).toBe('x')
    expect((await revisionAt(shared, `holdfast/${twice}`)).kvs?.[0]?.version).toBe('1')
    expect(await store.replace(twice, null, 'y', signal)).toBeNull()
    expect(await store.replace(twice, found!.revision, 'y', signal)).toBeGreaterThan(found!.revision)
  })

  test.each(['is no etcd', 'answers nonsense'] as const)('who %s is told of, whatever it answers', async (manner) => {
    const store = opened({ url: await relay(shared, manner) })
    const message = expect.stringMatching(/^The etcd at 127\.0\.0\.1:\d+ failed: .*no answer of etcd/)
    await expect(store.read('k', signal)).rejects.toMatchObject({ code: 'store-failed', message })
    await expect(store.replace('k', null, 'x', signal)).rejects.toMatchObject({ code: 'store-failed', message })
  })

  test('goes through a proxy, and by TLS with a certificate authority of its own', async () => {
    const proxy = await httpProxy()
    const store = opened({ url: shared.url, proxy: `http://127.0.0.1:${proxy.port}` })
    const byProxy = randomUUID()
    expect(await store.replace(byProxy, null, 'x', signal)).toBeGreaterThan(0)
    expect(proxy.asked.length).toBeGreaterThan(0)
    const secured = await relay(shared, 'secured')
    await expect(opened({ url: secured }).read(byProxy, signal)).rejects.toMatchObject({ code: 'store-failed' })
    const trusting = opened({ url: secured, tls: { ca: pem('localhost') } })
    expect((await trusting.read(byProxy, signal))?.value).toBe('x')
  })

  describe('with users', () => {
    const password = 'correct horse'
    const passwords = [password, 'wrong horse']
    let guarded: Etcd
    beforeAll(async () => {
      guarded = await started()
      await addRoot(guarded)
    })
    const addRoot = async (server: Etcd) => {
      await server.ask('auth/user/add', { name: 'root', password })
      await server.ask('auth/role/add', { name: 'root' })
      await server.ask('auth/user/grant', { user: 'root', role: 'root' })
      await server.ask('auth/enable', {})
    }
    const failureOf = async (options: Partial<EtcdLeaseStoreOptions>): Promise<Error> =>
      opened({ url: guarded.url, ...options })
        .replace('k', null, 'x', signal)
        .then(
          () => new Error('it was written'),
          (error) => error,
        )

    test('asks with a token, and for another when etcd has forgotten it', async () => {
      const server = await started({ flags: { 'auth-token-ttl': '1' } })
      await addRoot(server)
      const front = await relay(server, 'counts')
      const store = opened({ url: front, username: 'root', password: secret(password) })
      const revision = (await store.replace('users', null, '1', signal))!
      await new Promise((resolve) => setTimeout(resolve, 2_500))
      expect(await store.replace('users', revision, '2', signal)).toBeGreaterThan(revision)
      expect(loginsAt(front)).toBe(2)
    })

    test('asks for another token when a watch is refused', async () => {
      const front = await relay(guarded, 'cancels a watch')
      let hints = 0
      const watching = opened({ url: front, username: 'root', password })
        .watch('k')
        .subscribe(() => hints++)
      await vi.waitFor(() => expect(hints).toBeGreaterThan(0), { timeout: 10_000 })
      watching.unsubscribe()
      expect(loginsAt(front)).toBe(2)
    })

    test('many who ask at once log in once', async () => {
      const front = await relay(guarded, 'counts')
      const store = opened({ url: front, username: 'root', password })
      await Promise.all(
        Array.from({ length: 20 }, (_, i) => store.replace(`many-${i}`, null, 'x', new AbortController().signal)),
      )
      expect(loginsAt(front)).toBe(1)
    })

    test('users that were changed since the token was given cost another token, and no answer', async () => {
      // only tokens of this kind remember which users there were
      const folder = mkdtempSync(join(tmpdir(), 'holdfast-jwt-'))
      ends.push(() => rmSync(folder, { recursive: true, force: true }))
      const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2_048 })
      writeFileSync(join(folder, 'public.pem'), publicKey.export({ type: 'spki', format: 'pem' }))
      writeFileSync(join(folder, 'private.pem'), privateKey.export({ type: 'pkcs1', format: 'pem' }), { mode: 0o600 })
      const keys = `pub-key=${join(folder, 'public.pem')},priv-key=${join(folder, 'private.pem')}`
      const server = await started({ flags: { 'auth-token': `jwt,${keys},sign-method=RS256,ttl=10m` } })
      await addRoot(server)
      const store = opened({ url: server.url, username: 'root', password })
      await store.replace('changed', null, 'x', signal)
      const { token } = (await server.ask('auth/authenticate', { name: 'root', password })) as { token: string }
      const ask = { method: 'POST', headers: { Authorization: token } }
      const added = await fetch(`${server.url}/v3/auth/user/add`, { ...ask, body: '{"name":"other","password":"x"}' })
      expect(added.status).toBe(200)
      const stale = await fetch(`${server.url}/v3/kv/range`, { ...ask, body: '{"key":"eA=="}' })
      expect(await stale.json()).toMatchObject({ message: 'etcdserver: revision of auth store is old' })
      expect((await store.read('changed', signal))?.value).toBe('x')
    })

    test.each([
      ['a wrong password', { username: 'root', password: 'wrong horse' }, 'invalid user ID or password'],
      ['no user where one is needed', {}, 'user name is empty'],
    ])('%s is told of in the words of etcd, without a secret', async (_, options, words) => {
      const error = await failureOf(options)
      expect(error).toMatchObject({ code: 'store-failed', message: expect.stringContaining(words) })
      for (const each of passwords) expect(inspect(error, { depth: 9 })).not.toContain(each)
    })

    test('a password that etcd repeats is blanked out', async () => {
      const store = opened({ url: await relay(guarded, 'repeats'), username: 'root', password })
      const error = await store.read('k', signal).catch((error) => error)
      expect(error.message).toContain('You said {"name":"root","password":"***"}')
      expect(inspect(error, { depth: 9 })).not.toContain(password)
    })

    test('a user is of no harm where none is asked for', async () => {
      const store = opened({ url: shared.url, username: 'root', password })
      expect(await store.replace(randomUUID(), null, 'x', signal)).toBeGreaterThan(0)
    })
  })
})
