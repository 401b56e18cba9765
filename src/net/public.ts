/** Which addresses belong to the internet, and not to this machine, to a network behind it, or to nobody. */
import { BlockList, isIP } from 'node:net'

/** IANA, IPv4 Special-Purpose Address Registry (RFC 6890): what is not globally reachable, and what is no host. */
const PRIVATE_IPV4: readonly (readonly [net: string, prefix: number])[] = [
  // "this network", and 0.0.0.0, which Linux takes for loopback
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  // carrier-grade NAT (RFC 6598)
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  // link-local, and the metadata services of clouds
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  // documentation (RFC 5737)
  ['192.0.2.0', 24],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  // relays of 6to4 (RFC 7526)
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  // benchmarking (RFC 2544)
  ['198.18.0.0', 15],
  // multicast, reserved, broadcast
  ['224.0.0.0', 3],
]

/** IANA, IPv6 Special-Purpose Address Registry: the exceptions within the global unicast addresses. */
const PRIVATE_IPV6: readonly (readonly [net: string, prefix: number])[] = [
  // protocol assignments: Teredo, ORCHID, benchmarking
  ['2001::', 23],
  // documentation (RFC 3849, RFC 9637)
  ['2001:db8::', 32],
  ['3fff::', 20],
]

const refused = new BlockList()
/** Beyond these, IPv6 is for this machine, for its network, for groups, or for nobody yet. */
const unicast = new BlockList()

const wrapped = (net: string, prefix: number): readonly (readonly [net: string, prefix: number])[] => {
  const [a, b, c, d] = net.split('.').map((byte) => Number(byte).toString(16).padStart(2, '0'))
  return [
    // RFC 4291, section 2.5.5.2; RFC 6052; 6to4, RFC 3056
    [`::ffff:${net}`, 96 + prefix],
    [`64:ff9b::${net}`, 96 + prefix],
    [`2002:${a}${b}:${c}${d}::`, 16 + prefix],
  ]
}

for (const [net, prefix] of PRIVATE_IPV4) {
  refused.addSubnet(net, prefix, 'ipv4')
  for (const [form, length] of wrapped(net, prefix)) refused.addSubnet(form, length, 'ipv6')
}
for (const [net, prefix] of PRIVATE_IPV6) refused.addSubnet(net, prefix, 'ipv6')
unicast.addSubnet('2000::', 3, 'ipv6')
unicast.addSubnet('::ffff:0.0.0.0', 96, 'ipv6')
unicast.addSubnet('64:ff9b::', 96, 'ipv6')

/**
 * Whether an address is one of the internet's: false for loopback, private, link-local, shared, unspecified, multicast,
 * broadcast, documentation and benchmarking addresses, also when they are wrapped in IPv6 (mapped, NAT64, 6to4), and for
 * what is no address. An address with a zone is one of this network.
 */
export const isPublicAddress = (address: string): boolean => {
  const family = isIP(address)
  if (family === 0 || address.includes('%')) return false
  if (family === 4) return !refused.check(address, 'ipv4')
  return unicast.check(address, 'ipv6') && !refused.check(address, 'ipv6')
}
