/**
 * Real third-party peers in processes of their own, for tests: started, spoken to, killed, frozen, and never left behind.
 * A peer's process ends when its input ends, so it cannot outlive the test run; `holdChild` sees to the frozen ones.
 */

import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { freePort, type HeldChild, holdChild } from '../../src/cli/lab/peer-process.ts'

const startDeadlineMs = 15_000
const stopDeadlineMs = 1_000
const stderrMax = 4_000

/** What every real peer can suffer. */
export interface RealProcess {
  /** SIGKILL; resolves when the process is gone. */
  kill(): Promise<void>
  /** A new process with the same configuration, on the same port; resolves when it is ready. */
  restart(): Promise<void>
  /** SIGSTOP. */
  freeze(): void
  /** SIGCONT. */
  thaw(): void
  /** Lets the process end in good order, and kills it if it does not. */
  stop(): Promise<void>
}

export interface SatoriServer extends RealProcess {
  /** The events endpoint; the API is beside it, at `http://127.0.0.1:{port}/satori/v1/{method}`. */
  readonly url: string
  readonly port: number
  /** The one login: platform `mock`, user `514`. */
  readonly login: { readonly platform: string; readonly userId: string }
  /** What clients made the bot say (message.create), over all lives of the server. */
  readonly sent: readonly { readonly channelId: string; readonly content: string }[]
  /** The bot receives this text from user 100 in channel 200; every identified client gets an EVENT. */
  receive(text: string): void
  /** Satori's status of the login: 0 offline, 1 online, 2 connect, 3 disconnect, 4 reconnect. Sends `login-updated`. */
  setStatus(status: 0 | 1 | 2 | 3 | 4): void
}

export async function startSatoriServer(config: { port?: number; token: string }): Promise<SatoriServer> {
  const port = config.port ?? (await freePort())
  const server = new LineProcess('satori-server.cjs', { ...config, port }, 'listening')
  await server.restart()
  return {
    ...server.controls(),
    url: `ws://127.0.0.1:${port}/satori/v1/events`,
    port,
    login: { platform: 'mock', userId: '514' },
    get sent() {
      return server.all<{ channelId: string; content: string }>('sent')
    },
    receive: (text) => server.tell({ receive: text }),
    setStatus: (status) => server.tell({ status }),
  }
}

export type BotStatus = 'offline' | 'online' | 'connect' | 'disconnect' | 'reconnect'

export interface ReceivedMessage {
  readonly userId: string
  readonly channelId: string
  readonly messageId: string
  readonly content: string
}

export interface OnebotApp extends RealProcess {
  /** Every status that the bot has had, oldest first. */
  readonly statuses: readonly BotStatus[]
  readonly messages: readonly ReceivedMessage[]
  /** The ids of the messages that the bot sent, as the peer gave them. */
  readonly sent: readonly (readonly string[])[]
  /** Why messages could not be sent. */
  readonly failures: readonly string[]
  readonly logs: readonly string[]
  send(channelId: string, text: string): void
  /** Starts the bot again, as a person would. */
  start(): void
}

export interface OnebotAppConfig {
  readonly endpoint?: string
  /** As a server that is dialed. */
  readonly protocol?: 'ws-reverse'
  readonly serverPort?: number
  readonly path?: string
  readonly token?: string
  readonly retryTimes?: number
  readonly retryInterval?: number
  readonly retryLazy?: number
  readonly responseTimeout?: number
}

export async function startOnebotApp(config: OnebotAppConfig): Promise<OnebotApp> {
  const app = new LineProcess('onebot-app.cjs', config, 'started')
  await app.restart()
  return {
    ...app.controls(),
    get statuses() {
      return app.all<BotStatus>('status')
    },
    get messages() {
      return app.all<ReceivedMessage>('message')
    },
    get sent() {
      return app.all<string[]>('sent')
    },
    get failures() {
      return app.all<string>('failed')
    },
    get logs() {
      return app.all<string>('log')
    },
    send: (channelId, text) => app.tell({ send: { channelId, text } }),
    start: () => app.tell({ start: true }),
  }
}

export interface KoishiApp extends RealProcess {
  /** Every status that the bot has had, oldest first. */
  readonly statuses: readonly BotStatus[]
  readonly errors: readonly string[]
  readonly messages: readonly (ReceivedMessage & { readonly isDirect: boolean })[]
  readonly failures: readonly string[]
  readonly logs: readonly string[]
  /** Starts the bot again, as a person would. */
  start(): void
  /** Unloads the plugin. */
  unload(): void
}

/** Koishi with the plugin of examples/koishi-plugin, which is built on what `npm run build` made. */
export async function startKoishiApp(config: { endpoint: string; token?: string; selfId: string }): Promise<KoishiApp> {
  // the example is no package of its own, and Koishi is no dependency of holdfast
  const env = { ...process.env, NODE_PATH: fileURLToPath(new URL('node_modules', import.meta.url)) }
  const app = new LineProcess('koishi-app.cjs', config, 'started', env)
  await app.restart()
  return {
    ...app.controls(),
    get statuses() {
      return app.all<BotStatus>('status')
    },
    get errors() {
      return app.all<string>('error')
    },
    get messages() {
      return app.all<ReceivedMessage & { isDirect: boolean }>('message')
    },
    get failures() {
      return app.all<string>('failed')
    },
    get logs() {
      return app.all<string>('log')
    },
    start: () => app.tell({ start: true }),
    unload: () => app.tell({ unload: true }),
  }
}

export interface DiscordClients extends RealProcess {
  /** What the shard of this client emitted, oldest first: `ready`, `resumed`, `closed`, `error`, `dispatch` … */
  events(client: number): readonly { readonly event: string; readonly more: unknown }[]
  /** A command of a bot: `{ op: 3, d: presence }`. */
  send(client: number, payload: object): void
  /** Idle, Connecting, Resuming or Ready. */
  status(client: number): Promise<string>
}

/** One real client for each gateway. */
export async function startDiscordClients(config: { token: string; gateways: string[] }): Promise<DiscordClients> {
  const clients = new LineProcess('discord-clients.cjs', config, 'started')
  await clients.restart()
  type Told = { client: number; event: string; more: unknown }
  const said = () => clients.all<{ client: number; status: string }>('status')
  return {
    ...clients.controls(),
    events: (client) => clients.all<Told>('shard').filter((told) => told.client === client),
    send: (client, payload) => clients.tell({ send: { client, payload } }),
    status: async (client) => {
      const before = said().length
      clients.tell({ status: client })
      while (said().length === before) await new Promise((resolve) => setTimeout(resolve, 10))
      return said().at(-1)!.status
    },
  }
}

export interface QqClients extends RealProcess {
  statuses(client: number): readonly BotStatus[]
  readonly logs: readonly string[]
}

export interface QqClientsConfig {
  readonly token: string
  readonly platforms: readonly { readonly gateway: string; readonly http: string }[]
  readonly retryInterval: number
}

/** One real client for each platform. */
export async function startQqClients(config: QqClientsConfig): Promise<QqClients> {
  const clients = new LineProcess('qq-clients.cjs', config, 'started')
  await clients.restart()
  type Told = { client: number; status: BotStatus }
  return {
    ...clients.controls(),
    statuses: (client) =>
      clients
        .all<Told>('bot')
        .filter((told) => told.client === client)
        .map(({ status }) => status),
    get logs() {
      return clients.all<string>('log')
    },
  }
}

export interface TelegramClients extends RealProcess {
  /** They do nothing before this. */
  start(): void
  statuses(client: number): readonly BotStatus[]
  /** The texts that this bot was told. */
  heard(client: number): readonly string[]
  readonly logs: readonly string[]
}

export interface TelegramClientsConfig {
  readonly token: string
  readonly endpoints: readonly string[]
  /** What every name is found to have, in place of DNS. */
  readonly addresses?: readonly string[]
}

/** One real client for each Bot API. */
export async function startTelegramClients(config: TelegramClientsConfig): Promise<TelegramClients> {
  const clients = new LineProcess('telegram-clients.cjs', config, 'loaded')
  await clients.restart()
  type Told<T> = { client: number } & T
  const of = <T>(key: string, client: number) => clients.all<Told<T>>(key).filter((told) => told.client === client)
  return {
    ...clients.controls(),
    start: () => clients.tell({ start: true }),
    statuses: (client) => of<{ status: BotStatus }>('bot', client).map(({ status }) => status),
    heard: (client) => of<{ text: string }>('heard', client).map(({ text }) => text),
    get logs() {
      return clients.all<string>('log')
    },
  }
}

export interface EtcdClient extends RealProcess {
  /** `registered`, `keepaliveFailed`, `lost`; oldest first. */
  readonly events: readonly string[]
}

/** etcd3 1.1.2 with a key that it registered. */
export async function startEtcdClient(config: {
  url: string
  key: string
  value: string
  ttlSeconds: number
}): Promise<EtcdClient> {
  const client = new LineProcess('etcd-client.cjs', config, 'started')
  await client.restart()
  return {
    ...client.controls(),
    get events() {
      return client.all<string>('event')
    },
  }
}

/** A script that speaks JSON lines on its input and its output. */
class LineProcess {
  readonly #script: string
  readonly #config: object
  readonly #readyKey: string
  readonly #env: NodeJS.ProcessEnv
  readonly #lines: Readonly<Record<string, unknown>>[] = []
  #child: ChildProcessWithoutNullStreams | null = null
  #held: HeldChild | null = null

  constructor(script: string, config: object, readyKey: string, env = process.env) {
    this.#env = env
    this.#script = fileURLToPath(new URL(script, import.meta.url))
    this.#config = config
    this.#readyKey = readyKey
  }

  controls(): RealProcess {
    return {
      kill: () => this.#kill(),
      restart: () => this.restart(),
      freeze: () => this.#held?.freeze(),
      thaw: () => this.#held?.thaw(),
      stop: () => this.#stop(),
    }
  }

  /** The values that the script gave under this key, oldest first. */
  all<T>(key: string): T[] {
    return this.#lines.filter((line) => key in line).map((line) => line[key] as T)
  }

  tell(command: object): void {
    this.#child?.stdin.write(`${JSON.stringify(command)}\n`)
  }

  async restart(): Promise<void> {
    await this.#kill()
    if (!existsSync(fileURLToPath(new URL('node_modules/koishi', import.meta.url)))) {
      throw new Error('The real peers are not installed. Run: npm ci --prefix test/peers')
    }
    const child = spawn(process.execPath, [this.#script, JSON.stringify(this.#config)], { env: this.#env })
    this.#child = child
    this.#held = holdChild(child)
    // A command to a process that was killed a moment ago is lost; the tests see that by themselves.
    child.stdin.on('error', () => undefined)
    try {
      await this.#ready(child, AbortSignal.timeout(startDeadlineMs))
    } catch (error) {
      await this.#kill()
      throw error
    }
  }

  #ready(child: ChildProcessWithoutNullStreams, deadline: AbortSignal): Promise<void> {
    let stderr = ''
    child.stderr.on('data', (chunk: Buffer) => {
      stderr = (stderr + chunk.toString()).slice(-stderrMax)
    })
    return new Promise((resolve, reject) => {
      const fail = (why: string) => reject(new Error(`${this.#script} ${why}\n${stderr}`))
      deadline.addEventListener('abort', () => fail(`is not ready after ${startDeadlineMs} ms.`))
      child.once('error', reject)
      child.once('exit', (code, signal) => fail(`ended (${signal ?? code}).`))
      createInterface({ input: child.stdout }).on('line', (text) => {
        // Somebody else's code may print to the console too.
        if (!text.startsWith('{')) return
        const line = JSON.parse(text) as Record<string, unknown>
        this.#lines.push(line)
        if (this.#readyKey in line) resolve()
      })
    })
  }

  async #kill(): Promise<void> {
    await this.#held?.kill()
  }

  async #stop(): Promise<void> {
    this.#child?.stdin.end()
    await this.#held?.gone(stopDeadlineMs)
  }
}
