import type { NetworkInterfaceInfo } from 'node:os'
import { describe, expect, test } from 'vitest'
import { awake, type Hint, type Interfaces } from '../src/awake.ts'
import { heapClock } from '../src/testing/heap-clock.ts'

const EVERY_MS = 2_000

const ipv4 = (address: string, more: Partial<NetworkInterfaceInfo> = {}): NetworkInterfaceInfo =>
  ({
    address,
    netmask: '255.255.255.0',
    family: 'IPv4',
    mac: '02:00:00:00:00:01',
    internal: false,
    cidr: `${address}/24`,
    ...more,
  }) as NetworkInterfaceInfo

const ipv6 = (address: string, more: Partial<NetworkInterfaceInfo> = {}): NetworkInterfaceInfo =>
  ipv4(address, { netmask: 'ffff:ffff:ffff:ffff::', family: 'IPv6', scopeid: 0, ...more } as object)

/** A machine with one network card, watched from the start. */
const machine = () => {
  const clock = heapClock()
  const machineHas: Record<string, NetworkInterfaceInfo[]> = {
    lo: [ipv4('127.0.0.1', { internal: true })],
    eth0: [ipv4('192.0.2.10'), ipv6('2001:db8:1:2::10')],
  }
  let interfaces: Interfaces = () => machineHas
  let asked = 0
  const hints$ = awake({
    clock,
    everyMs: EVERY_MS,
    interfaces: () => {
      asked++
      return interfaces()
    },
  })
  const heard: Hint[] = []
  return {
    clock,
    hints$,
    heard,
    has: machineHas,
    answer: (by: Interfaces) => {
      interfaces = by
    },
    asked: () => asked,
    watch: () => hints$.subscribe((hint) => heard.push(hint)),
  }
}

describe('sleep and clock jumps', () => {
  test('an ordinary day says nothing', () => {
    const { clock, heard, watch } = machine()
    watch()
    clock.advanceSync(86_400_000)
    expect(heard).toEqual([])
    expect(clock.pending).toBe(1)
  })

  test('a timer that comes late, as after SIGSTOP, a frozen container or a blocked loop, is one awoke', () => {
    const { clock, heard, watch } = machine()
    watch()
    clock.advanceSync(10_000)
    clock.sleep(30_000)
    clock.advanceSync(60_000)
    expect(heard).toEqual(['awoke'])
  })

  test('a sleep in which monotonic time stood still is one awoke, within one interval of waking', () => {
    const { clock, heard, watch } = machine()
    watch()
    clock.advanceSync(10_000)
    clock.stepWall(8 * 3_600_000)
    clock.advanceSync(EVERY_MS)
    expect(heard).toEqual(['awoke'])
    clock.advanceSync(600_000)
    expect(heard).toEqual(['awoke'])
  })

  test('three sleeps are three hints', () => {
    const { clock, heard, watch } = machine()
    watch()
    for (let n = 0; n < 3; n++) {
      clock.advanceSync(10_000)
      clock.sleep(5_000)
    }
    clock.advanceSync(10_000)
    expect(heard).toEqual(['awoke', 'awoke', 'awoke'])
  })

  test.each([
    ['NTP sets the clock by less than a second', [900, -900, 400]],
    ['the wall clock is set back by an hour', [-3_600_000]],
    ['the clock is slewed by 500 ppm for a day', Array<number>(43_200).fill(1)],
  ])('%s: no hint', (_, steps) => {
    const { clock, heard, watch } = machine()
    watch()
    for (const step of steps) {
      clock.stepWall(step)
      clock.advanceSync(EVERY_MS)
    }
    expect(heard).toEqual([])
  })

  test('a wall clock that is set forward is one harmless hint, and setting it back is none', () => {
    const { clock, heard, watch } = machine()
    watch()
    clock.stepWall(3_600_000)
    clock.advanceSync(EVERY_MS)
    clock.stepWall(-3_600_000)
    clock.advanceSync(60_000)
    expect(heard).toEqual(['awoke'])
  })

  test('a sleep during which the network changed says both', () => {
    const { clock, heard, has, watch } = machine()
    watch()
    clock.sleep(3_600_000)
    has.eth0 = [ipv4('198.51.100.7')]
    clock.advanceSync(EVERY_MS)
    expect(heard).toEqual(['awoke', 'network-changed'])
  })
})

describe('network changes', () => {
  const changes: [string, (has: Record<string, NetworkInterfaceInfo[]>) => void][] = [
    ['another address', (has) => has.eth0!.splice(0, 1, ipv4('192.0.2.11'))],
    ['the cable is out', (has) => delete has.eth0],
    ['Wi-Fi joins', (has) => Object.assign(has, { wlan0: [ipv4('198.51.100.4')] })],
    ['the same address on another card', (has) => Object.assign(has, { wlan0: has.eth0, eth0: [] })],
    ['another IPv6 prefix', (has) => has.eth0!.splice(1, 1, ipv6('2001:db8:1:3::10'))],
    ['another netmask', (has) => has.eth0!.splice(0, 1, ipv4('192.0.2.10', { netmask: '255.255.0.0' }))],
    ['IPv6 is gone', (has) => has.eth0!.splice(1, 1)],
  ]
  test.each(changes)('%s: network-changed within one interval, once', (_, change) => {
    const { clock, heard, has, watch } = machine()
    watch()
    clock.advanceSync(10_000)
    change(has)
    clock.advanceSync(EVERY_MS)
    expect(heard).toEqual(['network-changed'])
    clock.advanceSync(60_000)
    expect(heard).toEqual(['network-changed'])
  })

  const noise: [string, (has: Record<string, NetworkInterfaceInfo[]>) => void][] = [
    [
      'a new temporary IPv6 address under the same prefix',
      (has) => has.eth0!.splice(1, 1, ipv6('2001:db8:1:2:a:b:c:d')),
    ],
    ['the same IPv6 prefix, written out', (has) => has.eth0!.splice(1, 1, ipv6('2001:DB8:1:2:0:0:0:10'))],
    ['another MAC address', (has) => has.eth0!.splice(0, 1, ipv4('192.0.2.10', { mac: '02:00:00:00:00:99' }))],
    ['another order', (has) => has.eth0!.reverse()],
    ['a second address on loopback', (has) => has.lo!.push(ipv4('127.0.0.2', { internal: true }))],
    [
      'the card of a new container',
      (has) => Object.assign(has, { veth1: [ipv6('fe80::1', { scopeid: 7 } as object)] }),
    ],
    ['no DHCP yet', (has) => Object.assign(has, { wlan0: [ipv4('169.254.10.20')] })],
    ['an interface without addresses', (has) => Object.assign(has, { wlan0: undefined })],
  ]
  test.each(noise)('%s: nothing', (_, change) => {
    const { clock, heard, has, watch } = machine()
    watch()
    clock.advanceSync(10_000)
    change(has)
    clock.advanceSync(60_000)
    expect(heard).toEqual([])
  })

  test('a system that does not tell its interfaces is no change, and neither is one that tells again', () => {
    const { clock, heard, answer, has, watch } = machine()
    watch()
    clock.advanceSync(10_000)
    answer(() => {
      throw new Error('Unknown system error 13')
    })
    clock.advanceSync(10_000)
    answer(() => has)
    clock.advanceSync(10_000)
    expect(heard).toEqual([])
    has.eth0 = []
    clock.advanceSync(EVERY_MS)
    expect(heard).toEqual(['network-changed'])
  })

  test('a system that never tells still notices sleep', () => {
    const { clock, heard, answer, watch } = machine()
    answer(() => {
      throw new Error('Unknown system error 13')
    })
    watch()
    clock.sleep(60_000)
    clock.advanceSync(60_000)
    expect(heard).toEqual(['awoke'])
  })
})

describe('sharing', () => {
  test('a thousand links share one timer and one look; without a subscriber there is neither', () => {
    const { clock, hints$, has, asked } = machine()
    expect([clock.pending, asked()]).toEqual([0, 0])
    let told = 0
    const links = Array.from({ length: 1_000 }, () => hints$.subscribe(() => told++))
    expect([clock.pending, asked()]).toEqual([1, 1])
    clock.advanceSync(EVERY_MS)
    expect([clock.pending, asked()]).toEqual([1, 2])
    has.eth0 = []
    clock.advanceSync(EVERY_MS)
    expect(told).toBe(1_000)
    for (const link of links) link.unsubscribe()
    expect(clock.pending).toBe(0)
    clock.advanceSync(60_000)
    expect(asked()).toBe(3)
  })

  test('who comes after a pause hears nothing of what changed while nobody watched', () => {
    const { clock, heard, has, watch } = machine()
    watch().unsubscribe()
    clock.advanceSync(10_000)
    clock.stepWall(3_600_000)
    has.eth0 = []
    watch()
    clock.advanceSync(60_000)
    expect(heard).toEqual([])
  })

  test('leaving while being told leaves no timer behind', () => {
    const { clock, hints$ } = machine()
    let told = 0
    const link = hints$.subscribe(() => {
      told++
      link.unsubscribe()
    })
    clock.sleep(30_000)
    clock.advanceSync(60_000)
    expect([told, clock.pending]).toEqual([1, 0])
  })
})

test.each([0, 999, 5_001, Number.NaN, Number.POSITIVE_INFINITY])('everyMs %s is a usage error', (everyMs) => {
  expect(() => awake({ everyMs })).toThrow(expect.objectContaining({ code: 'bad-option' }))
})

test('on the real machine one look takes less than 5 ms', () => {
  const clock = heapClock()
  const link = awake({ clock }).subscribe()
  const began = performance.now()
  const looks = 100
  clock.advanceSync(looks * EVERY_MS)
  const eachMs = (performance.now() - began) / looks
  link.unsubscribe()
  console.log(`one look at clocks and interfaces: ${eachMs.toFixed(3)} ms`)
  expect(eachMs).toBeLessThan(5)
})
