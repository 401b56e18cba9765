/** Certificates for the fault server, made anew for each process: a key in a repository is a key that somebody trusts. */
import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ownFolder } from './owner.ts'
import { addresses, zone } from './setups.ts'

export interface Certificate {
  readonly cert: string
  readonly key: string
}

export interface Certificates {
  /** The file of the authority behind all but the self-signed one: for NODE_EXTRA_CA_CERTS. */
  readonly authorityFile: string
  readonly good: Certificate
  readonly wrongName: Certificate
  readonly expired: Certificate
  readonly selfSigned: Certificate
}

let made: Certificates | undefined

export const certificates = (): Certificates => {
  made ??= make()
  return made
}

/** What the good one is good for. Node takes no '*.test': there have to be two labels behind the star. */
const names = [
  ...['localhost', ...Object.keys(zone)].map((name) => `DNS:${name}`),
  ...['127.0.0.1', '::1', ...addresses.v4, ...addresses.v6].map((address) => `IP:${address}`),
]

const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']

const make = (): Certificates => {
  const folder = ownFolder()
  const at = (name: string) => join(folder, name)
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' })
  const selfSigned = (name: string) => {
    const subject = ['-subj', `/CN=${name}`, '-days', '2']
    openssl('req', '-x509', ...newKey, '-keyout', `${name}.key`, '-out', `${name}.pem`, ...subject)
    return read(name)
  }
  const read = (name: string): Certificate => ({
    cert: readFileSync(at(`${name}.pem`), 'utf8'),
    key: readFileSync(at(`${name}.key`), 'utf8'),
  })
  const signed = (name: string, days: number, alternatives: readonly string[]) => {
    openssl('req', '-new', ...newKey, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', `/CN=${name}`)
    writeFileSync(at(`${name}.ext`), `subjectAltName=${alternatives.join(',')}\n`)
    const authority = ['-CA', 'authority.pem', '-CAkey', 'authority.key', '-CAcreateserial']
    const life = ['-days', String(days), '-extfile', `${name}.ext`]
    openssl('x509', '-req', '-in', `${name}.csr`, '-out', `${name}.pem`, ...authority, ...life)
    return read(name)
  }
  selfSigned('authority')
  return {
    authorityFile: at('authority.pem'),
    good: signed('good', 2, names),
    wrongName: signed('wrong-name', 2, ['DNS:somebody-else.example']),
    expired: signed('expired', -1, names),
    selfSigned: selfSigned('self-signed'),
  }
}
