/** Layers made by hand: of a way to a peer on which all is well, and what a test changes about it. */
import type { Examined, Layer, LayerName } from '../../src/doctor/layers.ts'
import { layerNames } from '../../src/doctor/layers.ts'

type Of<N extends LayerName> = Extract<Examined, { name: N }>

const answered = (...addresses: string[]) => ({ ms: 3, addresses, code: null })

export const V4 = '192.0.2.1'
export const V6 = '2001:db8:5::1'

export const open = (address: string, ms: number) =>
  ({ address, family: address.includes(':') ? 6 : 4, ok: true, ms, code: null }) as const

export const shut = (address: string, code: string, ms = 1) =>
  ({ address, family: address.includes(':') ? 6 : 4, ok: false, ms, code }) as const

const well: { readonly [N in LayerName]: Of<N> } = {
  dns: {
    name: 'dns',
    ok: true,
    ms: 5,
    host: 'bot.example',
    literal: false,
    a: answered(V4),
    aaaa: answered(V6),
    order: answered(V4, V6),
  },
  tcp: { name: 'tcp', ok: true, ms: 21, port: 443, paths: [open(V4, 20), open(V6, 21)], left: 0, fault: null },
  dialers: {
    name: 'dialers',
    ok: true,
    ms: 25,
    node: { ok: true, ms: 24, address: V4, code: null, attempts: [], attemptMs: 250 },
    holdfast: { ok: true, ms: 25, address: V4, fault: null },
  },
  proxy: { name: 'proxy', ok: true, ms: 30, proxy: '10.0.0.1:3128', kind: 'http', fault: null },
  tls: {
    name: 'tls',
    ok: true,
    ms: 40,
    protocol: 'TLSv1.3',
    chain: [
      {
        subject: 'bot.example',
        issuer: 'Some Authority',
        validFrom: '2026-10-01T00:00:00.000Z',
        validTo: '2027-10-01T00:00:00.000Z',
      },
    ],
    daysLeft: 300,
    hostMatches: true,
    problem: null,
    code: null,
    skewMs: null,
  },
  upgrade: {
    name: 'upgrade',
    ok: true,
    ms: 22,
    status: 101,
    retryAfterMs: null,
    subprotocol: null,
    location: null,
    page: false,
    skewMs: 300,
    fault: null,
  },
  handshake: { name: 'handshake', ok: true, ms: 60, adapter: 'onebot', state: 'live', fault: null },
  heartbeats: {
    name: 'heartbeats',
    ok: true,
    ms: 65,
    kind: 'probe',
    roundTripsMs: [21, 22, 21],
    unanswered: 0,
    fault: null,
  },
}

type Changes = { readonly [N in LayerName]?: Partial<Of<N>> | null }

/**
 * A whole report in which these layers are different; null leaves one out. A layer that fails leaves out all below it,
 * and the proxy is there only if it is named.
 */
export const layersWith = (changes: Changes = {}): Layer[] => {
  let isOver = false
  return layerNames.map((name): Layer => {
    const change = changes[name]
    const isLeftOut = change === null || (name === 'proxy' && change === undefined)
    if (isOver) return { name, ok: null, ms: null, skipped: 'not-reached' }
    if (isLeftOut) return { name, ok: null, ms: null, skipped: 'not-needed' }
    const layer = { ...well[name], ...change } as Examined
    isOver = !layer.ok && name !== 'dialers' && !('proxy' in changes && (name === 'dns' || name === 'tcp'))
    return layer
  })
}
