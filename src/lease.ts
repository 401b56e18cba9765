/** `holdfast/lease`: who of a fleet of processes owns a link. */
export { type EtcdLeaseStoreOptions, etcdLeaseStore } from './lease/etcd.ts'
export {
  type NatsBucket,
  type NatsBucketStatus,
  type NatsConnection,
  type NatsEntry,
  type NatsLeaseStoreOptions,
  natsLeaseStore,
} from './lease/nats.ts'
export { type LeaseStore, memoryLeaseStore, type StoredLease } from './lease/store.ts'
