/** Loaded before a bot (`node --import`), so that its whole process can be blocked from outside: by SIGUSR2, for BLOCK_MS. */
import { writeSync } from 'node:fs'

process.on('SIGUSR2', () => {
  writeSync(1, 'BLOCKED\n')
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, Number(process.env.BLOCK_MS))
  writeSync(1, 'GOES ON\n')
})
