/**
 * `examine`: goes down layer by layer to a peer, stops where one fails, and says in one sentence what it means. It opens
 * a few sockets, changes nothing of the process, and leaves nothing behind.
 */
import type { Socket } from 'node:net'
import { type Adapter, checkTarget, checkToken, type Target } from '../adapter/adapter.ts'
import { type Clock, realClock } from '../clock.ts'
import { type Address, hostOf, isSecure, type Lookup, lookupBySystem, portOf } from '../net/resolve.ts'
import { checkProxy } from '../options.ts'
import { publicUrl, reveal, type Scrub, type Secret, scrubber, secret, secretsOfUrl } from '../secret.ts'
import { type AdapterName, type Answer, knownAdapter, makeAdapter } from './adapters.ts'
import { Board } from './board.ts'
import { type Diagnosis, diagnose, type ExitCode } from './diagnose.ts'
import { compareDialers } from './dialers.ts'
import { askDns, askedOnce } from './dns.ts'
import { hold } from './handshake.ts'
import { ping, sayGoodbye } from './heartbeats.ts'
import type { Layer } from './layers.ts'
import { findProxy, tryProxy, unusableProxy } from './proxy.ts'
import { isReached, type Reach, reach } from './reach.ts'
import { tryPaths } from './tcp.ts'
import { Time } from './time.ts'
import { secure, unsecured } from './tls.ts'
import { unanswered, upgrade } from './upgrade.ts'

export interface ExamineOptions {
  /** Shake hands as this adapter does, and measure its own heartbeats. */
  readonly adapter?: AdapterName
  readonly token?: string | Secret
  /** Of the adapter `maim`. */
  readonly platform?: string
  /** As of a link. */
  readonly proxy?: string | false
  readonly lookup?: Lookup
  readonly clock?: Clock
  readonly tls?: Target['tls']
  /** Told of each layer in order, as soon as it and those before it are known. */
  readonly onLayer?: (layer: Layer, soFar: readonly Layer[]) => void
}

/** Plain data, without secrets. */
export interface Report {
  readonly url: string
  readonly adapter: AdapterName | null
  readonly layers: readonly Layer[]
  readonly diagnosis: Omit<Diagnosis, 'exitCode'>
  readonly exitCode: ExitCode
}

/** Milliseconds for all of it. The layers have deadlines of their own, which rarely come to so much. */
const TOTAL_MS = 28_000

/** Throws HoldfastError `bad-option` if the URL, the token, the adapter or the proxy is wrong; whatever happens later is a finding. */
export const examine = async (url: string, options: ExamineOptions = {}): Promise<Report> => {
  const patient = admit(url, options)
  const board = new Board(patient.scrub, options.onLayer)
  try {
    await descend(patient, board)
  } finally {
    patient.way.time.end()
  }
  const layers = board.finish()
  const { exitCode, ...diagnosis } = diagnose(layers)
  return { url: patient.scrub(publicUrl(url)), adapter: options.adapter ?? null, layers, diagnosis, exitCode }
}

interface Patient {
  readonly url: string
  /** The proxy is among it. */
  readonly way: Reach
  /** Why the proxy that the environment names cannot be used. */
  readonly proxyTrouble: string | undefined
  readonly proxyOption: string | false | undefined
  readonly adapter: { readonly adapter: Adapter; readonly answer: Answer } | undefined
  readonly headers: Readonly<Record<string, string>>
  readonly tls: Target['tls']
  readonly scrub: Scrub
}

/** Checks all that a person may have got wrong before anything is opened. */
const admit = (url: string, options: ExamineOptions): Patient => {
  const { adapter: name, lookup = lookupBySystem, tls } = options
  const proxyOption = checkProxy(options.proxy)
  // http(s) is examined down to its answer; else a URL is what a link takes
  checkTarget({ url: String(url).replace(/^http/i, 'ws') }, 'doctor')
  const token = options.token === undefined ? undefined : secret(checkToken(options.token, 'the token of doctor'))
  const known = name === undefined ? undefined : knownAdapter(name)
  const adapter = name === undefined ? undefined : makeAdapter(name, url, token, tls, options.platform)
  const found = findProxy(url, proxyOption)
  const isTrouble = found !== undefined && 'why' in found
  const proxy = isTrouble ? undefined : found
  const time = new Time(ownClock(options.clock ?? realClock), TOTAL_MS)
  const secrets = [...secretsOfUrl(url), ...(token ? [reveal(token)] : []), ...(proxy ? secretsOfUrl(proxy.url) : [])]
  return {
    url,
    way: { url, lookup: askedOnce(lookup), proxy, time },
    proxyTrouble: isTrouble ? found.why : undefined,
    proxyOption,
    adapter: adapter && known ? { adapter, answer: known.answer } : undefined,
    headers: token && (known?.showsTokenAtUpgrade ?? true) ? { Authorization: `Bearer ${reveal(token)}` } : {},
    tls,
    scrub: scrubber(secrets),
  }
}

/** An object of its own: what is learnt here of paths and names is not for the links of this process, nor the reverse. */
const ownClock = (clock: Clock): Clock => ({
  now: () => clock.now(),
  wall: () => clock.wall(),
  random: () => clock.random(),
  setTimeout: (run, delayMs) => clock.setTimeout(run, delayMs),
  clearTimeout: (timer) => clock.clearTimeout(timer),
})

const descend = async (patient: Patient, board: Board): Promise<void> => {
  const { way } = patient
  const isProxied = way.proxy !== undefined || patient.proxyTrouble !== undefined
  // beside the rest, because where Node hangs it hangs for long
  const dialers = compareDialers(way)
  const { layer: dns, addresses } = await askDns(hostOf(way.url), way.lookup, way.time)
  board.put(dns)
  const isOpen = dns.ok && (await connectDirectly(addresses, way, board))
  // through a proxy the host may be reached though we cannot see it
  if (!isOpen && !isProxied) return
  if (!(await passProxy(patient, board))) return
  await climb(patient, board)
  if (isOpen) board.put(await dialers)
}

const connectDirectly = async (addresses: readonly Address[], { url, time }: Reach, board: Board): Promise<boolean> => {
  const layer = await tryPaths(addresses, portOf(url), time)
  board.put(layer)
  return layer.ok
}

const passProxy = async ({ way, proxyTrouble }: Patient, board: Board): Promise<boolean> => {
  if (way.proxy === undefined && proxyTrouble === undefined) {
    board.skip('proxy')
    return true
  }
  const { proxy } = way
  const layer = proxy ? await tryProxy({ ...way, proxy }) : unusableProxy(proxyTrouble ?? '')
  board.put(layer)
  return layer.ok
}

const REACH_MS = 10_000

/** From an open socket up. */
const climb = async (patient: Patient, board: Board): Promise<void> => {
  const { url, way, tls } = patient
  const reached = await reach(way, REACH_MS)
  if (!isSecure(url)) board.skip('tls')
  if (!isReached(reached)) {
    board.put(isSecure(url) ? unsecured(reached.code) : unanswered(reached))
    return
  }
  if (!isSecure(url)) return openSession(patient, reached.socket, board)
  const { layer, socket } = await secure(url, reached.socket, tls, way.time)
  board.put(layer)
  if (socket) await openSession(patient, socket, board)
}

const openSession = async (patient: Patient, socket: Socket, board: Board): Promise<void> => {
  const { url, way, adapter, headers, proxyOption } = patient
  const { time, lookup } = way
  const { layer, ws } = await upgrade(url, socket, headers, time)
  board.put(layer)
  if (!layer.ok) return
  if (!ws || !adapter) {
    board.skip('handshake', ws ? 'not-asked' : 'not-needed')
    if (ws) board.put(await ping(ws, time))
    else board.skip('heartbeats')
    return
  }
  await sayGoodbye(ws, time)
  await hold({ ...adapter, lookup, proxy: proxyOption, time }, (told) => board.put(told))
}
