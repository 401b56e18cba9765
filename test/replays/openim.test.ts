/** The incident of OpenIM, replayed at a real etcd. */
import { describe, expect, it } from 'vitest'
import { hasEtcd } from '../peers/etcd.ts'
import { openim } from './openim.ts'

const title = hasEtcd ? 'openim' : 'openim (left out: there is no etcd here, package etcd-server)'

;(hasEtcd ? describe : describe.skip)(title, () => {
  it('a stall that outlasts the lease: etcd3 as OpenIM used it never registers again, holdfast does', async () => {
    const [naive, held] = await Promise.all([openim.naive(), openim.holdfast()])
    console.log(`naive:    ${naive.note}\nholdfast: ${held.note}`)
    expect(naive).toMatchObject({ recovered: false, recoveredMs: null, attempts: 1 })
    expect(naive.lost).toBeGreaterThan(0)
    expect(held).toMatchObject({ recovered: true, lost: 0 })
    expect(held.recoveredMs).toBeLessThan(2_000)
  })
})
