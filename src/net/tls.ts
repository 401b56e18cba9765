/** TLS as a layer of an attempt: the race of addresses is won by whoever is secured first, not by an open port. */
import { type ConnectionOptions, connect } from 'node:tls'
import type { Target } from '../adapter/adapter.ts'
import type { Layer } from './attempt.ts'
import { identityOf } from './resolve.ts'

export interface TlsOptions {
  /** Its host is whom the certificate has to name. */
  readonly url: string
  readonly tls?: Target['tls']
  /** Absolute, in milliseconds. */
  readonly withinMs: number
}

/** Fails with OpenSSL's code (`CERT_HAS_EXPIRED` …), which `faultFrom` puts into words. */
export const tlsLayer = ({ url, tls, withinMs }: TlsOptions): Layer => ({
  step: 'tls',
  withinMs,
  take: (socket, done) => {
    const speaksHttp = !url.startsWith('tls:')
    const options: ConnectionOptions = {
      ...tls,
      ...identityOf(url),
      socket,
      ...(speaksHttp && { ALPNProtocols: ['http/1.1'] }),
    }
    const secured = connect(options)
    secured.once('secureConnect', () => done(undefined, secured))
    return secured
  },
})
