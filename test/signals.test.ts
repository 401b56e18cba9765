/** What becomes of processes that stop their links on a signal: each test is a process of its own. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { pathToFileURL } from 'node:url'
import { afterEach, beforeAll, describe, expect, it } from 'vitest'
import { HoldfastError } from '../src/error.ts'
import { stopOnSignals } from '../src/signals.ts'
import { runnable } from './lab/bundle.ts'

const children: ChildProcess[] = []
let module = ''

beforeAll(async () => {
  module = pathToFileURL(await runnable('src/signals.ts')).href
}, 60_000)
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
})

interface End {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly lines: readonly string[]
  readonly stderr: string
}

/** A process with `stopOnSignals`, `say`, `wait` and links to make, which something else keeps alive. */
const run = async (script: string) => {
  const source = `
    import { writeSync } from 'node:fs'
    import { setTimeout as wait } from 'node:timers/promises'
    import { stopOnSignals } from ${JSON.stringify(module)}
    const say = (text) => writeSync(1, text + '\\n')
    const link = (id, ms = 20) => ({
      id,
      stop: async ({ drainMs = 'default' } = {}) => {
        say(id + ' stopping ' + drainMs)
        await wait(ms)
        say(id + ' stopped')
      },
    })
    const keptAlive = setInterval(() => undefined, 1_000)
    ${script}
    say('ready')`
  const child = spawn(process.execPath, ['--input-type=module', '-e', source], { stdio: ['ignore', 'pipe', 'pipe'] })
  children.push(child)
  let [text, stderr] = ['', '']
  child.stdout.on('data', (chunk) => {
    text += chunk
  })
  child.stderr.on('data', (chunk) => {
    stderr += chunk
  })
  const lines = () => text.split('\n').slice(0, -1)
  const ended = once(child, 'close').then(
    ([code, signal]): End => ({ code, signal, lines: lines().filter((line) => line !== 'ready'), stderr }),
  )
  const heard = async (line: string) => {
    while (!lines().includes(line)) {
      await Promise.race([
        once(child.stdout, 'data'),
        ended.then(() => Promise.reject(new Error(`it ended: ${stderr}`))),
      ])
    }
  }
  await heard('ready')
  return { kill: (signal: NodeJS.Signals) => child.kill(signal), heard, ended }
}

describe('on the first signal', () => {
  it.each(['SIGTERM', 'SIGINT'] as const)('%s stops all links at once, and the process dies of it', async (signal) => {
    const { kill, ended } = await run(`stopOnSignals([link('a'), link('b')])`)
    kill(signal)
    const { lines, ...end } = await ended
    expect(end).toEqual({ code: null, signal, stderr: '' })
    expect(lines.slice(0, 2)).toEqual(['a stopping default', 'b stopping default'])
    expect(lines.slice(2).sort()).toEqual(['a stopped', 'b stopped'])
  })

  it('drains for as long as it was told, and asks then which links there are', async () => {
    const { kill, ended } = await run(`
      const links = new Map()
      stopOnSignals(() => links.values(), { signals: ['SIGHUP'], drainMs: 500 })
      links.set('late', link('late'))`)
    kill('SIGHUP')
    expect(await ended).toEqual({
      code: null,
      signal: 'SIGHUP',
      lines: ['late stopping 500', 'late stopped'],
      stderr: '',
    })
  })

  it('ends also when a link or the list of them fails', async () => {
    for (const links of [`[{ id: 'a', stop: () => { throw new Error('no') } }, link('b')]`, `() => { throw 'none' }`]) {
      const { kill, ended } = await run(`stopOnSignals(${links})`)
      kill('SIGTERM')
      const { signal, lines, stderr } = await ended
      expect(signal).toBe('SIGTERM')
      expect(lines.length > 0).toBe(links.startsWith('['))
      expect(stderr.includes('could not be listed: none')).toBe(!links.startsWith('['))
    }
  })

  it('hands over instead, and stops the link whose hand-over fails', async () => {
    const { kill, ended } = await run(`
      const handOver = async ({ id }) => {
        if (id === 'b') throw new Error('the disk is full')
        say(id + ' handed over')
      }
      stopOnSignals([link('a'), link('b')], { handOver, drainMs: 7 })`)
    kill('SIGTERM')
    const { signal, lines, stderr } = await ended
    expect(signal).toBe('SIGTERM')
    expect(lines).toEqual(['a handed over', 'b stopping 7', 'b stopped'])
    expect(stderr).toMatch(/HoldfastWarning: The link "b" was stopped, .* Error: the disk is full/)
  })
})

describe('on a second signal', () => {
  it.each(['SIGTERM', 'SIGINT'] as const)('%s ends at once', async (second) => {
    const { kill, heard, ended } = await run(`stopOnSignals([link('a', 60_000)])`)
    kill('SIGTERM')
    await heard('a stopping default')
    kill(second)
    expect(await ended).toMatchObject({ code: null, signal: second, lines: ['a stopping default'] })
  })

  it('ends at once also beside others who listen', async () => {
    const { kill, heard, ended } = await run(`
      process.on('SIGTERM', () => say('other'))
      stopOnSignals([link('a', 60_000)])`)
    kill('SIGTERM')
    await heard('other')
    kill('SIGTERM')
    expect(await ended).toMatchObject({ code: 143, signal: null })
  })
})

describe('beside others who listen', () => {
  it.each(['on', 'once'])('by %s() the end is theirs', async (how) => {
    const { kill, ended } = await run(`
      process.${how}('SIGTERM', async () => {
        await wait(150)
        say('the other is done')
        process.exit(7)
      })
      stopOnSignals([link('a', 10)])`)
    kill('SIGTERM')
    expect(await ended).toEqual({
      code: 7,
      signal: null,
      lines: ['a stopping default', 'a stopped', 'the other is done'],
      stderr: '',
    })
  })

  it('another stopOnSignals() is one of us: the last to finish ends the process', async () => {
    const { kill, ended } = await run(`
      stopOnSignals([link('slow', 120)])
      stopOnSignals([link('quick', 10)])`)
    kill('SIGTERM')
    const { signal, lines } = await ended
    expect(signal).toBe('SIGTERM')
    expect(lines.slice(-2)).toEqual(['quick stopped', 'slow stopped'])
  })
})

describe('listeners', () => {
  it('are none before it is called, and none after its return is called', async () => {
    const { kill, ended } = await run(`
      const count = () => process.eventNames().filter((name) => String(name).startsWith('SIG')).length
      say(String(count()))
      const off = stopOnSignals([link('a')])
      say(String(count()))
      off()
      say(String(count()))`)
    kill('SIGTERM')
    expect(await ended).toEqual({ code: null, signal: 'SIGTERM', lines: ['0', '2', '0'], stderr: '' })
  })

  it('that are taken off while links stop leave the process alone', async () => {
    const { kill, heard, ended } = await run(`
      const off = stopOnSignals(() => {
        setImmediate(off)
        setTimeout(() => say('still there'), 100)
        return [link('a', 10)]
      })`)
    kill('SIGTERM')
    await heard('still there')
    kill('SIGTERM')
    expect(await ended).toMatchObject({ signal: 'SIGTERM', lines: ['a stopping default', 'a stopped', 'still there'] })
  })
})

describe('options', () => {
  it.each([
    [[undefined], /links is undefined; it must be something that can be iterated/],
    [[{ id: 'a' }], /links is an object/],
    [[[], { signals: 'SIGTERM' }], /signals must be an array/],
    [[[], { signals: ['SIGKILL'] }], /SIGKILL cannot be heard/],
    [[[], { signals: ['TERM'] }], /names such as "SIGTERM"/],
    [[[], { drainMs: -1 }], /drainMs/],
    [[[], { handOver: true }], /handOver is true; it must be a function/],
    [[[], { drain: 5 }], /"drain" is not one of the options of stopOnSignals\(\)/],
  ])('that are wrong are refused at once, and nobody listens: %#', (given, problem) => {
    const before = process.listenerCount('SIGTERM')
    const call = () => stopOnSignals(...(given as Parameters<typeof stopOnSignals>))
    expect(call).toThrow(HoldfastError)
    expect(call).toThrow(problem)
    expect(process.listenerCount('SIGTERM')).toBe(before)
  })
})
