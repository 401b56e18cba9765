import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { isPublicAddress } from '../../src/net/public.ts'

const PRIVATE_IPV4 = [
  '0.0.0.0',
  '0.1.2.3',
  '10.0.0.1',
  '10.255.255.255',
  '100.64.0.1',
  '100.127.255.254',
  '127.0.0.1',
  '127.255.255.254',
  '169.254.0.1',
  '169.254.169.254',
  '172.16.0.1',
  '172.31.255.255',
  '192.0.0.8',
  '192.0.2.1',
  '192.88.99.1',
  '192.168.0.1',
  '192.168.255.255',
  '198.18.0.1',
  '198.19.255.255',
  '198.51.100.7',
  '203.0.113.7',
  '224.0.0.1',
  '239.255.255.250',
  '240.0.0.1',
  '255.255.255.255',
]

/** The first and the last address beside each range, and some of well-known hosts. */
const PUBLIC_IPV4 = [
  '1.1.1.1',
  '8.8.8.8',
  '9.255.255.255',
  '11.0.0.0',
  '100.63.255.255',
  '100.128.0.0',
  '126.255.255.255',
  '128.0.0.0',
  '162.159.135.232',
  '169.253.255.255',
  '169.255.0.0',
  '172.15.255.255',
  '172.32.0.0',
  '192.0.1.0',
  '192.0.3.0',
  '192.167.255.255',
  '192.169.0.0',
  '198.17.255.255',
  '198.20.0.0',
  '203.0.112.255',
  '223.255.255.255',
]

const PRIVATE_IPV6 = [
  '::',
  '::1',
  // IPv4-compatible and IPv4-translated: neither is in use
  '::8.8.8.8',
  '::ffff:0:8.8.8.8',
  '64:ff9b:1::8.8.8.8',
  '100::1',
  '2001::1',
  '2001:2::1',
  '2001:10::1',
  '2001:db8::1',
  '3fff::1',
  '3fff:fff:ffff::1',
  '4000::1',
  '5f00::1',
  'fc00::1',
  'fd12:3456:789a::1',
  'fe80::1',
  'fe80::1%eth0',
  'febf::1',
  'fec0::1',
  'ff02::1',
  'ff0e::1',
]

const PUBLIC_IPV6 = [
  '2000::1',
  '2001:200::1',
  '2001:4860:4860::8888',
  '2001:db7:ffff::1',
  '2001:db9::1',
  '2606:4700::1111',
  '2A00:1450:4001:0:0:0:0:200E',
  '3ffe:ffff::1',
  '3fff:1000::1',
]

/** How an IPv4 address looks inside of IPv6: mapped in two spellings, behind NAT64, and in 6to4. */
const wrapped = (address: string): string[] => {
  const bytes = address.split('.').map(Number)
  const hex = (a: number, b: number) => (a * 256 + b).toString(16)
  const [high, low] = [hex(bytes[0]!, bytes[1]!), hex(bytes[2]!, bytes[3]!)]
  return [
    `::ffff:${address}`,
    `::FFFF:${high}:${low}`,
    `0:0:0:0:0:ffff:${high}:${low}`,
    `64:ff9b::${address}`,
    `64:ff9b::${high}:${low}`,
    `2002:${high}:${low}::1`,
    `2002:${high}:${low}:1:2:3:4:5`,
  ]
}

describe('T3: a public address', () => {
  test.each([...PUBLIC_IPV4, ...PUBLIC_IPV6])('is %s', (address) => expect(isPublicAddress(address)).toBe(true))

  test.each([...PRIVATE_IPV4, ...PRIVATE_IPV6])('is not %s', (address) => expect(isPublicAddress(address)).toBe(false))

  test.each(PRIVATE_IPV4)('is not %s in any dress of IPv6', (address) => {
    for (const form of wrapped(address)) expect(isPublicAddress(form), form).toBe(false)
  })

  test.each(PUBLIC_IPV4)('is %s as well when NAT64 or 6to4 leads there', (address) => {
    for (const form of wrapped(address)) expect(isPublicAddress(form), form).toBe(true)
  })

  test.each([
    '',
    'localhost',
    'gateway.discord.gg',
    '8.8.8',
    '8.8.8.8.8',
    '08.8.8.8',
    '0x8.8.8.8',
    '134744072',
    ' 8.8.8.8',
    '8.8.8.8:443',
    '[2606:4700::1111]',
    '2606:4700::1111%eth0',
    '2606:4700:::1',
  ])('is not %j, which is no address', (text) => expect(isPublicAddress(text)).toBe(false))

  test('is told the same for an IPv4 address and for its dresses, whatever it is', () => {
    fc.assert(
      fc.property(fc.ipV4(), (address) => {
        const verdicts = new Set([address, ...wrapped(address)].map(isPublicAddress))
        expect([...verdicts]).toHaveLength(1)
      }),
      { seed: Number(process.env.HF_SEED ?? 20_261_121), numRuns: 2_000 },
    )
  })
})
