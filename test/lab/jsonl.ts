/** A child process that speaks JSON lines: what all parts of the laboratory are, whatever language they are written in. */
import { type ChildProcess, spawn } from 'node:child_process'
import { setPriority } from 'node:os'
import { createInterface } from 'node:readline'

const ANSWER_MAX_MS = 60_000
const STDERR_KEPT = 4_000
/** Its times are measured: where that is allowed, whatever else runs on the machine comes after it. */
const NICENESS = -15

export interface JsonProcess {
  readonly child: ChildProcess
  /** The next line of its stdout that nobody has taken yet. Rejects with its stderr if it ends before. */
  next<T>(withinMs?: number): Promise<T>
  /** Sends one line and takes one; several at a time are answered in turn. */
  ask<T>(message: unknown): Promise<T>
  send(message: unknown): void
  /** Every line that nobody has taken, once it has ended by itself. Rejects when it ends badly. */
  rest<T>(withinMs?: number): Promise<T[]>
  /** Ends it: by the end of its stdin, and by force if it does not listen. */
  close(): Promise<void>
}

interface Taker {
  take(line: unknown): void
  fail(error: Error): void
}

export const jsonProcess = (command: string, args: readonly string[], env?: NodeJS.ProcessEnv): JsonProcess => {
  const child = spawn(command, args, { stdio: 'pipe', env: { ...process.env, ...env } })
  putFirst(child)
  const lines: unknown[] = []
  const takers: Taker[] = []
  let stderr = ''
  let end: Error | undefined

  child.stdin.on('error', () => undefined) // it may end while we write
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr = (stderr + text).slice(-STDERR_KEPT)
  })
  createInterface({ input: child.stdout }).on('line', (line) => {
    try {
      const value: unknown = JSON.parse(line)
      const taker = takers.shift()
      if (taker) taker.take(value)
      else lines.push(value)
    } catch {
      end ??= new Error(`${args.join(' ').slice(0, 300)}: not a JSON line: ${line.slice(0, 300)}`)
      child.kill('SIGKILL')
    }
  })
  const ended = new Promise<void>((resolve) => {
    const finish = (why: string) => {
      end ??= new Error(`${[command, ...args].join(' ').slice(0, 300)}: ended, ${why}${stderr && `\n${stderr}`}`)
      for (const taker of takers.splice(0)) taker.fail(end)
      resolve()
    }
    child.once('error', (error) => finish(error.message))
    child.once('close', (code, signal) => finish(signal ?? `exit code ${code}`))
  })

  const next = <T>(withinMs = ANSWER_MAX_MS): Promise<T> =>
    new Promise<T>((resolve, reject) => {
      if (lines.length > 0) return resolve(lines.shift() as T)
      if (end) return reject(end)
      const taker: Taker = {
        take: (line) => {
          clearTimeout(timer)
          resolve(line as T)
        },
        fail: (error) => {
          clearTimeout(timer)
          reject(error)
        },
      }
      const timer = setTimeout(() => {
        takers.splice(takers.indexOf(taker), 1)
        reject(
          new Error(`no line from ${args.join(' ').slice(0, 300)} within ${withinMs} ms${stderr && `\n${stderr}`}`),
        )
      }, withinMs)
      takers.push(taker)
    })

  const send = (message: unknown) => {
    child.stdin.write(`${JSON.stringify(message)}\n`)
  }

  return {
    child,
    next,
    send,
    ask: (message) => {
      send(message)
      return next()
    },
    rest: async <T>(withinMs = ANSWER_MAX_MS) => {
      const timer = setTimeout(() => child.kill('SIGKILL'), withinMs)
      await ended
      clearTimeout(timer)
      if (child.exitCode !== 0) throw end
      return lines.splice(0) as T[]
    },
    close: async () => {
      child.stdin.end()
      const timer = setTimeout(() => child.kill('SIGKILL'), 1_000)
      await ended
      clearTimeout(timer)
    },
  }
}

const putFirst = ({ pid }: ChildProcess) => {
  try {
    if (pid !== undefined) setPriority(pid, NICENESS)
  } catch {
    // not root, or it has ended already
  }
}
