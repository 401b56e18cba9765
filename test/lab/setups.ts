/**
 * The set-ups of the laboratory: addresses, names and what is wrong with each. All addresses are of the ranges for
 * documentation, so that a packet which did get out would have nowhere to go.
 */

/** What the wire does; what is absent stays as it is. */
export interface Path {
  readonly rttMs?: number
  /** Chance of a packet to be lost, in each direction. */
  readonly loss?: number
  /** Packets vanish: none, all, or those of one direction ('up' is from the client). */
  readonly blackhole?: boolean | 'up' | 'down'
}

export interface Shape {
  readonly v4?: Path
  readonly v6?: Path
  /** An address of the server on its own: it goes before its family. null gives it back to its family. */
  readonly hosts?: Readonly<Record<string, Path | null>>
}

/** How the DNS server answers for one type of one name. */
export interface Answer {
  readonly addresses?: readonly string[]
  readonly delayMs?: number
  readonly fault?: 'silence' | 'servfail' | 'refused' | 'nxdomain'
}

/** A type that is absent has no addresses (NODATA); a name that is absent does not exist (NXDOMAIN). */
export interface Name {
  readonly a?: Answer
  readonly aaaa?: Answer
}

/** '*.slow.test' stands for every name below slow.test. */
export type Zone = Readonly<Record<string, Name>>

/**
 * What the client has of IPv6: no address at all (nobody asks for AAAA then), an address but no route (ENETUNREACH at
 * once), a route from a unique local address (glibc sorts A first), or from a global one (AAAA first).
 */
export type ClientIpv6 = 'none' | 'no-route' | 'ula' | 'gua'

export interface Setup {
  readonly ipv6: ClientIpv6
  readonly shape?: Shape
  /** The name to dial in this set-up. */
  readonly target: string
}

/** The server answers on each of these, but for the last three kinds. */
export const addresses = {
  v4: ['192.0.2.1', '192.0.2.2'],
  v6: ['2001:db8:5::1', '2001:db8:5::2'],
  /** Everything to and from these vanishes in each set-up. */
  dead: ['192.0.2.66', '192.0.2.67', '2001:db8:5::66', '2001:db8:5::67'],
  /** The client's kernel says so at once: EHOSTUNREACH. */
  noHost: '192.0.2.77',
  /** As a firewall on the client's own machine does: EACCES. */
  forbidden: '192.0.2.78',
} as const

export const networks = { v4: '192.0.2.0/24', v6: '2001:db8:5::/64' } as const

export const clientAddresses = {
  v4: '198.51.100.2/32',
  linkLocal: 'fe80::2/64',
  ula: 'fd68:6f6c:6466::2/128',
  gua: '2001:db8:c::2/128',
} as const

const [a1, a2] = addresses.v4
const [aaaa1, aaaa2] = addresses.v6
const [dead1, dead2, dead61, dead62] = addresses.dead
const name = (a: readonly string[], aaaa?: readonly string[]): Name => ({
  a: { addresses: a },
  ...(aaaa && { aaaa: { addresses: aaaa } }),
})

export const zone: Zone = {
  'v4.test': name([a1]),
  'v6.test': { aaaa: { addresses: [aaaa1] } },
  'dual.test': name([a1], [aaaa1]),
  'multi4.test': name([a1, a2]),
  'multi4bh.test': name([a1, a2], [aaaa1, aaaa2]),
  /** One of two is dead. getaddrinfo sorts as it likes: who needs the dead one first brings a lookup. */
  'halfdead.test': name([a1, dead1]),
  'allbh.test': name([dead1, dead2], [dead61, dead62]),
  'slowaaaa.test': { a: { addresses: [a1] }, aaaa: { addresses: [aaaa1], delayMs: 2_000 } },
  'noaaaa-answer.test': { a: { addresses: [a1] }, aaaa: { fault: 'silence' } },
  '*.slow.test': { a: { addresses: [a1], delayMs: 2_000 }, aaaa: { delayMs: 2_000 } },
  'silent.test': { a: { fault: 'silence' }, aaaa: { fault: 'silence' } },
  'servfail.test': { a: { fault: 'servfail' }, aaaa: { fault: 'servfail' } },
  'refused.test': { a: { fault: 'refused' }, aaaa: { fault: 'refused' } },
  'nodata.test': {},
}

const v6Blackhole: Shape = { v6: { blackhole: true } }

export const setups = {
  v4: { ipv6: 'none', target: 'v4.test' },
  dual: { ipv6: 'gua', target: 'dual.test' },
  v6unreach: { ipv6: 'no-route', target: 'dual.test' },
  /** A first: the good address is tried first, and is not the last. */
  v6blackhole: { ipv6: 'ula', shape: v6Blackhole, target: 'dual.test' },
  /** AAAA first. */
  'v6blackhole-gua': { ipv6: 'gua', shape: v6Blackhole, target: 'dual.test' },
  multi4: { ipv6: 'none', target: 'multi4.test' },
  multi4bh: { ipv6: 'gua', shape: v6Blackhole, target: 'multi4bh.test' },
  allbh: { ipv6: 'gua', target: 'allbh.test' },
  slowaaaa: { ipv6: 'gua', target: 'slowaaaa.test' },
  'noaaaa-answer': { ipv6: 'gua', target: 'noaaaa-answer.test' },
  slow: { ipv6: 'none', target: 'one.slow.test' },
} as const satisfies Record<string, Setup>

export type SetupName = keyof typeof setups
