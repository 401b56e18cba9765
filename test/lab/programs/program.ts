/** What each program of the laboratory shares: arguments and orders come in, and results go out, as JSON lines. */
import { type AddressInfo, connect, createServer } from 'node:net'
import { createInterface } from 'node:readline'

/** The JSON of the first argument. */
export const argument = <T>(): T => JSON.parse(process.argv[2] ?? '{}') as T

export const print = (value: unknown): void => {
  process.stdout.write(`${JSON.stringify(value)}\n`)
}

/** One order for each line of stdin; its end ends the program, so that none outlives the test that started it. */
export const obey = (run: (order: never) => unknown): void => {
  const lines = createInterface({ input: process.stdin })
  lines.on('line', (line) => {
    const answer = run(JSON.parse(line) as never)
    if (answer !== undefined) print(answer)
  })
  lines.on('close', () => process.exit())
}

/** Milliseconds on the clock that all processes of the machine share, as the forwarder's report has them. */
export const monotonicMs = (): number => Number(process.hrtime.bigint()) / 1e6

/**
 * The first connection of a process costs 5 to 10 ms of loading, and more on a busy machine; measurements are about the
 * network. `open` is what is measured afterwards: it opens a connection and closes it.
 */
export const warmUp = (open: (host: string, port: number) => Promise<unknown> = openAndClose): Promise<void> =>
  new Promise((resolve, reject) => {
    const server = createServer((socket) =>
      socket
        .on('error', () => undefined)
        .resume()
        .end(),
    )
    server.once('error', reject).listen(0, '127.0.0.1', () => {
      const { address, port } = server.address() as AddressInfo
      open(address, port).then(() => server.close(() => resolve()), reject)
    })
  })

const openAndClose = (host: string, port: number): Promise<void> =>
  new Promise((resolve, reject) => {
    connect({ host, port })
      .once('error', reject)
      .once('close', () => resolve())
      .resume()
  })

/** An error as data, with all that is in it: Node's own message is often empty and its code that of one attempt. */
export interface ToldError {
  readonly name: string
  readonly code?: string
  readonly message: string
  readonly address?: string
  readonly errors?: readonly ToldError[]
  readonly cause?: ToldError
}

export const tell = (error: unknown): ToldError => {
  if (!(error instanceof Error)) return { name: typeof error, message: String(error) }
  const { name, message, cause } = error
  const { code, address, errors } = error as Error & { code?: unknown; address?: unknown; errors?: unknown }
  return {
    name,
    message,
    ...(code !== undefined && { code: String(code) }),
    ...(address !== undefined && { address: String(address) }),
    ...(Array.isArray(errors) && { errors: errors.map(tell) }),
    ...(cause !== undefined && { cause: tell(cause) }),
  }
}

/** What became of one attempt of any kind. */
export interface Outcome {
  readonly ok: boolean
  /** From the call to the result, whichever it is. */
  readonly ms: number
  readonly address?: string
  readonly status?: number
  readonly error?: ToldError
}

/** How an attempt that the program gave up itself is told. */
export const TOO_LATE = 'LAB_TOO_LATE'

/**
 * Runs something that can be told to give up, and measures it. `attempt` gets a function for what has to be called off.
 */
export const measure = async (
  withinMs: number,
  attempt: (callOff: (stop: () => void) => void) => Promise<Partial<Outcome>>,
): Promise<Outcome> => {
  const startedAt = performance.now()
  const passed = () => Math.round((performance.now() - startedAt) * 100) / 100
  const stops: (() => void)[] = []
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      reject(Object.assign(new Error(`nothing within ${withinMs} ms`), { code: TOO_LATE }))
    }, withinMs)
  })
  try {
    const outcome = await Promise.race([attempt((stop) => stops.push(stop)), late])
    return { ok: true, ms: passed(), ...outcome }
  } catch (error) {
    return { ok: false, ms: passed(), error: tell(error) }
  } finally {
    clearTimeout(timer)
    for (const stop of stops) stop()
  }
}
