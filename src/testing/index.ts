/** What our own tests and those of our users share: virtual time, a network under control, and a peer to break. */
export { FakeNetwork, FakeTransport, type PeerScript } from './fake-network.ts'
export { type HeapClock, heapClock, seededRandom } from './heap-clock.ts'
export * from './onebot-peer.ts'
