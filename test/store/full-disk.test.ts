/** A disk that is really full: a small file system in memory. Left out, with the reason in the name, where none can be mounted. */
import { spawnSync } from 'node:child_process'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { fileStore } from '../../src/file-store.ts'

const disk = fs.mkdtempSync(join(tmpdir(), 'holdfast-disk-'))
const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'holdfast-test', disk], { encoding: 'utf8' })
const why = mounted.status === 0 ? undefined : (mounted.stderr || String(mounted.error?.message)).trim()

afterAll(() => {
  if (why === undefined) spawnSync('umount', [disk])
  fs.rmdirSync(disk)
})

const describeWithDisk = (title: string, body: () => void): void => {
  if (why === undefined) describe(title, body)
  else describe.skip(`${title} (no small disk can be mounted here: ${why})`, body)
}

describeWithDisk('a full disk', () => {
  test('ten times full and free again: refusals say so, everything accepted is there, and nobody is warned', async () => {
    const dir = join(disk, 'state')
    const warnings: string[] = []
    const store = fileStore(dir, { warn: (message) => warnings.push(message) })
    const accepted = new Set<string>()
    const refused = new Set<string>()
    let n = 0
    const write = async () => {
      const key = `k${String(n++).padStart(4, '0')}`
      const value = 'x'.repeat(5_000 + ((n * 7_919) % 5_000))
      await store.write([{ key, value }], { toDisk: true }).then(
        () => accepted.add(key),
        (error) => {
          expect(error).toMatchObject({ code: 'store-failed', message: expect.stringContaining('ENOSPC') })
          refused.add(key)
        },
      )
    }
    for (let round = 0; round < 10; round++) {
      const before = refused.size
      const ballast = join(disk, 'ballast')
      const { bavail, bsize } = fs.statfsSync(disk)
      fs.writeFileSync(ballast, Buffer.alloc(Math.max(0, bavail * bsize - 60_000 - 4_096 * round)))
      while (refused.size < before + 3) await write()
      fs.rmSync(ballast)
      await write()
      const keys = new Set((await store.read('k')).map(([key]) => key))
      for (const key of accepted) expect(keys.has(key), `${key} in round ${round}`).toBe(true)
      for (const key of keys) expect(accepted.has(key) || refused.has(key), key).toBe(true)
      // room for the next round
      await store.write([...keys].map((key) => ({ key, value: undefined })))
      accepted.clear()
    }
    await store.close()
    expect(warnings).toEqual([])
    expect(n).toBeGreaterThan(50)
  })
})
