/**
 * Incident 2, MaiBot#744: a bridge with two legs. Its loop is blocked for 100 s, so the core, whose pings it does not answer, cuts
 * the one leg, and the first message after that is sent into a closed socket. Later the core ends a connection that is being
 * written to. All times of the original are divided by ten. NapCat is well from the beginning to the end.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { setTimeout as pause } from 'node:timers/promises'
import { WebSocket } from 'ws'
import { privateMessage, startOnebotPeer } from '../../src/testing/onebot-peer.ts'
import { type CoreMessage, MaimCore } from '../peers/maim-core.ts'
import type { Replay, Side } from './replay.ts'

const BLOCK_MS = 10_000
/** uvicorn's 20 s. */
const PING_EVERY_MS = 2_000
/** NapCat's 30 s for its beat, and the 30 s that its form proposed for the wait before it dials again. */
const NAPCAT_BEAT_MS = 3_000
const NAPCAT_WAIT_MS = 3_000
const SAY_EVERY_MS = 100
/** The bridge has so long to be of use again after each fault. */
const PATIENCE_MS = 8_000

/** Somebody at QQ, who says a number now and then, and hears what the bot answers. */
interface Napcat {
  /** Whether the bridge was there to hear it. */
  say(number: number): boolean
  /** Numbers that the bot has answered. */
  readonly answered: readonly number[]
  readonly dials: number
  readonly closes: number
  stop(): Promise<void>
}

/** NapCat as the example dials it. */
const dialedNapcat = async (): Promise<Napcat & { url: string }> => {
  const peer = await startOnebotPeer({ heartbeatMs: NAPCAT_BEAT_MS })
  const count = (kind: string) => peer.records.filter((record) => record.kind === kind).length
  return {
    url: peer.url,
    say: (number) => {
      const isHeard = peer.connections > 0
      peer.emit({ ...privateMessage(String(number)), message_id: number })
      return isHeard
    },
    get answered() {
      return peer.records.flatMap((record) => (record.kind === 'action' ? numbersIn(record.params) : []))
    },
    get dials() {
      return count('dial')
    },
    get closes() {
      return count('close')
    },
    stop: () => peer.close(),
  }
}

/** NapCat as it was in the incident: it dials the bridge, and after a loss waits for a fixed time. */
const dialingNapcat = (url: string): Napcat => {
  const answered: number[] = []
  const counts = { dials: 0, closes: 0 }
  const timers = new Set<NodeJS.Timeout>()
  let socket: WebSocket
  let isStopped = false
  const beat = { post_type: 'meta_event', meta_event_type: 'heartbeat', interval: NAPCAT_BEAT_MS }
  const dial = () => {
    counts.dials++
    socket = new WebSocket(url)
    const own = socket
    own.on('error', () => undefined)
    own.on('open', () => own.on('close', () => counts.closes++))
    own.on('message', (data) => answered.push(...numbersIn(JSON.parse(data.toString()).params)))
    own.on('close', () => {
      if (!isStopped) timers.add(setTimeout(dial, NAPCAT_WAIT_MS))
    })
  }
  dial()
  timers.add(setInterval(() => tell(socket, beat), NAPCAT_BEAT_MS))
  return {
    say: (number) => tell(socket, { ...privateMessage(String(number)), message_id: number }),
    answered,
    get dials() {
      return counts.dials
    },
    get closes() {
      return counts.closes
    },
    stop: async () => {
      isStopped = true
      for (const timer of timers) clearTimeout(timer)
      socket.terminate()
    },
  }
}

const tell = (socket: WebSocket, event: object): boolean => {
  if (socket.readyState !== WebSocket.OPEN) return false
  socket.send(JSON.stringify(event))
  return true
}

const numbersIn = (params: unknown): number[] => (JSON.stringify(params)?.match(/re (\d+)/g) ?? []).map(numberOf)
const numberOf = (text: string): number => Number(text.slice('re '.length))

/** A bridge in a process of its own, which can be blocked. */
class Bridge {
  readonly #child: ChildProcess
  #output = ''

  constructor(program: string, env: Record<string, string>) {
    const args = ['--import', './test/replays/blocked.mjs', program]
    this.#child = spawn(process.execPath, args, { env: { ...process.env, ...env, BLOCK_MS: String(BLOCK_MS) } })
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream!.on('data', (chunk) => {
        this.#output += chunk
      })
    }
  }

  get hasEnded(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null
  }

  async saw(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const found = pattern.exec(this.#output)
      if (found) return found
      if (this.hasEnded) throw new Error(`the bridge ended before it said ${pattern}: ${this.#output}`)
      await pause(20)
    }
  }

  /** Resolves when it goes on. */
  async block(): Promise<void> {
    this.#child.kill('SIGUSR2')
    await this.saw(/GOES ON/)
  }

  kill(): void {
    this.#child.kill('SIGKILL')
  }
}

/** A core that answers each number, and can end a connection while it is being written to. */
const startCore = async () => {
  const heard = new Set<number>()
  const trap = { isSet: false }
  const onMessage = ({ message_info, raw_message }: CoreMessage) => {
    if (!message_info) return
    if (trap.isSet) {
      trap.isSet = false
      return core.cut()
    }
    heard.add(Number(raw_message))
    const segment = { type: 'text', data: `re ${raw_message}` }
    core.say({ message_info: { ...message_info, message_id: `mt${raw_message}` }, message_segment: segment })
  }
  const core: MaimCore = await MaimCore.start({ pingEveryMs: PING_EVERY_MS, onMessage })
  return { core, heard, trap }
}

interface Stage {
  readonly bridge: Bridge
  readonly napcat: Napcat
  readonly core: Awaited<ReturnType<typeof startCore>>
}

const play = async ({ bridge, napcat, core: { core, heard, trap } }: Stage): Promise<Side> => {
  const keepable: number[] = []
  let number = 0
  const speaker = setInterval(() => {
    if (napcat.say(++number)) keepable.push(number)
  }, SAY_EVERY_MS)

  /** How long it takes from now until a message that is said from now on is answered; null if it is not. */
  const untilOfUse = async (): Promise<number | null> => {
    if (bridge.hasEnded) return null
    const [from, begunAt] = [number, performance.now()]
    while (performance.now() - begunAt < PATIENCE_MS) {
      if (napcat.answered.some((each) => each > from)) return Math.round(performance.now() - begunAt)
      await pause(10)
    }
    return null
  }

  try {
    if ((await untilOfUse()) === null) throw new Error('the bridge was of no use before anything went wrong')
    const before = { closes: napcat.closes, dials: napcat.dials + core.dials }
    await bridge.block()
    const afterBlock = await untilOfUse()
    trap.isSet = true
    while (trap.isSet && !bridge.hasEnded) await pause(10)
    const afterCut = await untilOfUse()
    clearInterval(speaker)
    const missing = () => keepable.filter((each) => !heard.has(each)).length
    for (let tries = 0; tries < 100 && missing() > 0 && !bridge.hasEnded; tries++) await pause(20)

    const recovered = afterBlock !== null && afterCut !== null
    const closes = napcat.closes - before.closes
    const after = (ms: number | null) => (ms === null ? 'never' : `after ${ms} ms`)
    return {
      recovered,
      recoveredMs: recovered ? Math.max(afterBlock, afterCut) : null,
      attempts: napcat.dials + core.dials - before.dials,
      lost: missing(),
      note:
        `of use again ${after(afterBlock)} when the loop went on, ${after(afterCut)} when the core cut the other leg; ` +
        `NapCat's leg closed ${closes} times; the process ${bridge.hasEnded ? 'ended' : 'lives'}; ` +
        `${missing()} of ${keepable.length} messages lost`,
    }
  } finally {
    clearInterval(speaker)
  }
}

const withCore = async (run: (core: Stage['core'], undo: (() => unknown)[]) => Promise<Side>): Promise<Side> => {
  const core = await startCore()
  const undo: (() => unknown)[] = [() => core.core.stop()]
  try {
    return await run(core, undo)
  } finally {
    for (const act of undo.reverse()) await act()
  }
}

export const maimbot: Replay = {
  incident: 'maimbot',
  fault:
    'the loop of a bridge is blocked for 100 s (scaled to 10), and the core cuts its leg then and in the middle of a write',
  naive: () =>
    withCore(async (core, undo) => {
      const bridge = new Bridge('test/replays/naive/maimbot.mjs', { MAIBOT_URL: core.core.url })
      undo.push(() => bridge.kill())
      const [, port] = await bridge.saw(/PORT (\d+)/)
      const napcat = dialingNapcat(`ws://127.0.0.1:${port}/`)
      undo.push(() => napcat.stop())
      return play({ bridge, napcat, core })
    }),
  holdfast: () =>
    withCore(async (core, undo) => {
      const napcat = await dialedNapcat()
      undo.push(() => napcat.stop())
      const places = { NAPCAT_URL: napcat.url, MAIBOT_URL: core.core.url }
      const bridge = new Bridge('examples/maimbot-bridge/bridge.mjs', places)
      undo.push(() => bridge.kill())
      await bridge.saw(/napcat is live[\s\S]*maibot is live|maibot is live[\s\S]*napcat is live/)
      return play({ bridge, napcat, core })
    }),
}
