import { memoryLeaseStore } from '../../src/lease/store.ts'
import { promisesOf } from './store-contract.ts'

const store = memoryLeaseStore()
promisesOf(
  'memoryLeaseStore',
  async () => store,
  async () => undefined,
)
