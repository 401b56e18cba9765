/** What is wrong with a certificate is said in words. */
import { afterEach, describe, expect, it } from 'vitest'
import { closeAll, dialTo, pem, rawServer, until } from '../transport/servers.ts'

afterEach(closeAll)

describe('a certificate that is', () => {
  it.each([
    ['self-signed', 'localhost', undefined, 'the certificate is self-signed'],
    ['expired', 'expired', 'expired', 'the certificate has expired'],
    ['not valid yet', 'not-yet', 'not-yet', 'the certificate is not valid yet: look at the clock of this machine'],
    ['for another host', 'elsewhere', 'elsewhere', 'the certificate is for another host'],
    ['by an unknown issuer', 'issued', undefined, 'the issuer of the certificate is unknown'],
    [
      'at the end of an unknown chain',
      'chain',
      undefined,
      'the certificate chain ends at an unknown self-signed issuer',
    ],
  ] as const)('%s is named', async (_what, certificate, trusted, words) => {
    const { port, open } = await rawServer((socket) => void socket.resume(), certificate)
    const tls = trusted && { tls: { ca: pem(trusted) } }
    const { fault } = await dialTo(port, { url: `wss://localhost:${port}/`, ...tls }).loss()
    expect(fault.code).toBe('tls-certificate')
    expect(fault.detail?.slice(0, words.length + 2)).toBe(`${words}; `)
    expect(fault.detail).toMatch(/; 127\.0\.0\.1:\d+ IPv4 [A-Z_]+ \d+ ms in TLS$/)
    await until(() => open.size === 0)
  })

  it('trusted by its issuer is fine', async () => {
    const { port } = await rawServer((socket) => void socket.resume(), 'issued')
    const issuer = pem('chain').split(/(?<=END CERTIFICATE-----\n)/)[1]!
    const dialed = dialTo(port, { url: `wss://localhost:${port}/`, tls: { ca: issuer }, upgradeMs: 100 })
    expect((await dialed.loss()).fault.code).toBe('upgrade-timeout')
  })

  it('an authority that cannot be read is our own fault, and the socket is given back', async () => {
    const { port, open } = await rawServer((socket) => void socket.resume(), 'localhost')
    const { fault } = await dialTo(port, { url: `wss://localhost:${port}/`, tls: { key: 'no key' } }).loss()
    expect(fault.code).toBe('tls-failed')
    await until(() => open.size === 0)
  })
})
