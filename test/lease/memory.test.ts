import { type LeaseStore, memoryLeaseStore } from '../../src/lease/store.ts'
import { promisesOf } from './store-contract.ts'

const stores = new Map<string, LeaseStore>()
promisesOf(
  'memoryLeaseStore',
  async (place) => {
    const store = stores.get(place) ?? memoryLeaseStore()
    stores.set(place, store)
    return store
  },
  async () => undefined,
)
