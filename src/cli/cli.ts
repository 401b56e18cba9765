#!/usr/bin/env node
/** The command line: reads the arguments, nothing else. */
import { parseArgs } from 'node:util'
import { type AdapterName, adapterNames } from '../doctor/adapters.ts'
import { HoldfastError, isHoldfastError } from '../error.ts'
import type { Language } from '../explain.ts'
import { parseProxy } from '../net/proxy.ts'
import { version } from '../version.ts'
import { diagram, type Format, formats, machineNames } from './diagram.ts'
import { doctor } from './doctor.ts'
import { explainFault, faultCodes, isFaultCode } from './explain.ts'
import { askHealth } from './health.ts'
import { hold, type Protocol, protocols } from './hold.ts'
import { labFaults } from './lab/faults.ts'
import { lab } from './lab/lab.ts'
import { painter } from './print.ts'
import { replay, showReplay } from './replay.ts'
import { top } from './top.ts'
import { watch } from './watch.ts'

/** 141 is what a shell reports of a program that nobody reads any more. */
const EXIT = { well: 0, failed: 1, usage: 64, unread: 141 } as const

const USAGE = `holdfast keeps a chat bot's connection held.

  holdfast lab [fault …] [--once] [--json]     break a peer in nine ways and watch a bot survive
  holdfast hold onebot <ws-url> [options]      hold a OneBot v11 implementation (NapCat, Lagrange …)
  holdfast hold satori <ws-url> [options]      hold a Satori server
  holdfast hold maim <ws-url> [options]        hold MaiBot's core, as a bridge to it does
  holdfast record onebot|satori|maim <ws-url> --to FILE [options]
                                               the same, and write a trace to the file
  holdfast replay <file> [second] [options]    open a trace on the page, or two beside each other; print it as it
                                               happened with --plain, --json, --speed, and where nobody looks
  holdfast top <inspector-url> [options]       many links in the terminal, the worst first; q ends it
  holdfast watch <inspector-url> [id]          the transitions of one link, or of all, and where they are
  holdfast doctor <url> [options]              examine the way to a peer, layer by layer: exit code 0 well,
                                               1 it works but something is wrong, 2 it does not work
  holdfast health <url> [options]              ask a bot whether it is ready, as containers do: exit code 0 ready,
                                               1 not ready, 2 no answer; asks /readyz unless the URL has a path
  holdfast diagram [FILE] [options]            draw a machine of ours, or one that FILE exports (JavaScript, XState 5)
  holdfast explain CODE                        what a fault means, what to do, and what the link does about it

Options
  --token-env NAME   take the access token from this environment variable
  --adapter NAME     doctor: shake hands as this adapter does: ${adapterNames.join(' or ')}
  --platform NAME    maim: whom a bridge brings messages from (default: hold and record qq, doctor holdfast-doctor)
  --proxy URL|none   doctor: go through this proxy (http, https, socks5), or through none; without it
                     HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY decide
  --machine NAME     diagram: ${machineNames.join(' or ')} (default: ${machineNames[0]})
  --format FORMAT    diagram: ${formats.join(', ')} (default: ${formats[0]})
  --export NAME      diagram: the name under which FILE exports the machine (default: default)
  --id NAME          the link's name in what is printed
  --inspect[=PORT]   hold, record, lab: open an inspector, and print its URL
  --trace FILE       hold: write a trace, .hf.ndjson or .hf.ndjson.gz (default: what HOLDFAST_TRACE says)
  --to FILE          record: where to
  --timeout SECONDS  health: how long to wait for the answer (default: 3)
  --speed N          replay: print it N times as fast; 0 does not wait (default: 1, and 0 if nobody looks)
  --link ID          replay: only this link; on the page, this one first
  --chrome FILE      replay: write Chrome trace events for Perfetto, and print nothing
  --plain            top: one picture after another, for pipes; replay: print it
  --once             lab: do not wait for Enter between two faults; top, watch: what there is now, and no more
  --json             one JSON object per line; doctor: one in all
  --lang en|zh       language of explanations (default: from LANG)
  --help, --version

Faults of the lab: ${labFaults.map(({ name }) => name).join(', ')}
`

class UsageError extends Error {}

const readArguments = () => {
  try {
    return parseArgs({
      // the one option that may stand with or without a value
      args: process.argv.slice(2).map((each) => (each === '--inspect' ? '--inspect=0' : each)),
      allowPositionals: true,
      options: {
        once: { type: 'boolean', default: false },
        json: { type: 'boolean', default: false },
        lang: { type: 'string' },
        id: { type: 'string' },
        adapter: { type: 'string' },
        platform: { type: 'string' },
        proxy: { type: 'string' },
        machine: { type: 'string' },
        format: { type: 'string' },
        export: { type: 'string' },
        inspect: { type: 'string' },
        trace: { type: 'string' },
        to: { type: 'string' },
        speed: { type: 'string' },
        timeout: { type: 'string' },
        link: { type: 'string' },
        chrome: { type: 'string' },
        plain: { type: 'boolean', default: false },
        'token-env': { type: 'string' },
        help: { type: 'boolean', short: 'h', default: false },
        version: { type: 'boolean', default: false },
      },
    })
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error))
  }
}

type Values = ReturnType<typeof readArguments>['values']

const run = async (): Promise<number> => {
  const { values, positionals } = readArguments()
  const [command, ...rest] = positionals
  if (values.version) return print(`${version}\n`)
  if (values.help || command === 'help') return print(USAGE)
  const language = languageOf(values.lang)
  if (command === 'lab') return runLab(rest, values, language)
  if (command === 'hold') return runHold(rest, values, language)
  if (command === 'record') return runRecord(rest, values, language)
  if (command === 'replay') return runReplay(rest, values, language)
  if (command === 'top') return runTop(rest, values, language)
  if (command === 'watch') return runWatch(rest, values, language)
  if (command === 'doctor') return runDoctor(rest, values, language)
  if (command === 'health') return runHealth(rest, values, language)
  if (command === 'diagram') return runDiagram(rest, values, language)
  if (command === 'explain') return runExplain(rest, language)
  throw new UsageError(command === undefined ? 'A command is missing.' : `"${command}" is not a command.`)
}

const print = (text: string): number => {
  process.stdout.write(text)
  return EXIT.well
}

const runLab = async (only: string[], values: Values, language: Language): Promise<number> => {
  const stranger = only.find((name) => !labFaults.some((fault) => fault.name === name))
  if (stranger !== undefined) throw new UsageError(`"${stranger}" is not a fault of the lab.`)
  const { once, json } = values
  const alone = once || json || !process.stdin.isTTY
  // a person who sits before it wants to see it; a script has to ask
  const inspect = portFrom(values.inspect ?? (alone ? undefined : '0'))
  const good = await lab({ once: alone, json, language, only, inspect }, process.stdout, painter(process.stdout))
  return good ? EXIT.well : EXIT.failed
}

const runHold = async ([protocol, url]: string[], values: Values, language: Language): Promise<number> => {
  if (!isProtocol(protocol)) throw new UsageError(`Say which protocol the peer speaks: ${protocols.join(' or ')}.`)
  if (url === undefined) throw new UsageError(`Say where the peer is, such as ws://127.0.0.1:3001/.`)
  const token = tokenFrom(values['token-env'])
  const { id, json, trace } = values
  const platform = platformFrom(values.platform, protocol)
  const inspect = portFrom(values.inspect)
  const options = { protocol, url, token, platform, id, json, language, inspect, trace }
  await hold(options, process.stdout, painter(process.stdout))
  return EXIT.well
}

const runRecord = (rest: string[], values: Values, language: Language): Promise<number> => {
  if (values.to === undefined) throw new UsageError('Say where to: --to bot.hf.ndjson')
  return runHold(rest, { ...values, trace: values.to }, language)
}

const runReplay = async ([file, ...rest]: string[], values: Values, language: Language): Promise<number> => {
  const { json, link, chrome, plain } = values
  const isPrinted = json || plain || chrome !== undefined || values.speed !== undefined || !process.stdout.isTTY
  if (file === undefined || rest.length > (isPrinted ? 0 : 1)) {
    throw new UsageError('Say which trace: one file to print, one or two to look at.')
  }
  if (!isPrinted) {
    await showReplay([file, ...rest], link, language, process.stdout)
    return EXIT.well
  }
  const speed = Number(values.speed ?? (process.stdout.isTTY && !json ? 1 : 0))
  if (!(speed >= 0 && speed <= SPEED_MAX)) throw new UsageError(`--speed: it must be a number from 0 to ${SPEED_MAX}.`)
  const notice = (text: string) => process.stderr.write(`${text}\n`)
  await replay({ file, speed, json, link, chrome, language }, process.stdout, notice, painter(process.stdout))
  return EXIT.well
}

const runTop = async ([url, ...rest]: string[], values: Values, language: Language): Promise<number> => {
  if (url === undefined || rest.length > 0) throw new UsageError(WHICH_INSPECTOR)
  const { json, once } = values
  const plain = values.plain || !process.stdout.isTTY
  await top({ url, json, once, plain, language }, process.stdout, painter(process.stdout))
  return EXIT.well
}

const runWatch = async ([url, id, ...rest]: string[], values: Values, language: Language): Promise<number> => {
  if (url === undefined || rest.length > 0) throw new UsageError(WHICH_INSPECTOR)
  const { json, once } = values
  await watch({ url, id, json, once, language }, process.stdout, painter(process.stdout))
  return EXIT.well
}

const runDoctor = async ([url, ...rest]: string[], values: Values, language: Language): Promise<number> => {
  if (url === undefined) throw new UsageError('Say where the peer is, such as wss://host/path.')
  if (rest.length > 0) throw new UsageError('One URL at a time, please.')
  const { adapter, json } = values
  if (adapter !== undefined && !isAdapter(adapter)) {
    throw new UsageError(`--adapter ${adapter}: it must be ${adapterNames.join(' or ')}.`)
  }
  const token = tokenFrom(values['token-env'])
  const proxy = proxyFrom(values.proxy)
  const platform = platformFrom(values.platform, adapter)
  const options = { url, adapter, token, platform, proxy, json, language }
  const code = await doctor(options, process.stdout, painter(process.stdout))
  // a lookup that the system does not answer cannot be cancelled, and would keep a finished report waiting for it
  return leave(code)
}

const runHealth = async ([url, ...rest]: string[], values: Values, language: Language): Promise<number> => {
  if (url === undefined || rest.length > 0) throw new UsageError('Say which bot: the URL of its health server.')
  const timeout = Number(values.timeout ?? TIMEOUT_S)
  if (!(timeout > 0 && timeout <= TIMEOUT_MAX_S)) {
    throw new UsageError(`--timeout ${values.timeout}: it must be a number of seconds up to ${TIMEOUT_MAX_S}.`)
  }
  const options = { url, timeoutMs: timeout * 1_000, json: values.json, language }
  return leave(await askHealth(options, process.stdout, painter(process.stdout)))
}

const runDiagram = async ([file, ...rest]: string[], values: Values, language: Language): Promise<number> => {
  if (rest.length > 0) throw new UsageError('One FILE at a time, please.')
  const { machine, format = formats[0], export: exported } = values
  if (!isFormat(format)) throw new UsageError(`--format ${format}: it must be ${formats.join(', ')}.`)
  if (machine !== undefined && file !== undefined) throw new UsageError('Give either --machine or a FILE, not both.')
  if (exported !== undefined && file === undefined) throw new UsageError('--export goes with a FILE.')
  const named = machine ?? machineNames[0]!
  if (!machineNames.includes(named))
    throw new UsageError(`--machine ${named}: it must be ${machineNames.join(' or ')}.`)
  print(await diagram({ file, exported, machine: named, format, language }))
  // a module of somebody's may have started something that never ends
  return file === undefined ? EXIT.well : leave(EXIT.well)
}

const runExplain = async ([code, ...rest]: string[], language: Language): Promise<number> => {
  if (code === undefined || rest.length > 0) throw new UsageError('Say one fault code, such as connect-timeout.')
  if (!isFaultCode(code))
    throw new HoldfastError('bad-option', `"${code}" is not a fault. The faults are ${faultCodes.join(', ')}.`)
  return print(explainFault(code, language, painter(process.stdout)))
}

/** Ends the process when all that was printed has been taken. */
const leave = async (code: number): Promise<never> => {
  await new Promise<void>((resolve) => process.stdout.write('', () => resolve()))
  process.exit(code)
}

const isFormat = (name: string): name is Format => (formats as readonly string[]).includes(name)
const WHICH_INSPECTOR = 'Say which inspector: the URL that it printed, with its token, in quotes.'
const SPEED_MAX = 1_000_000
const TIMEOUT_S = 3
const TIMEOUT_MAX_S = 600

const portFrom = (asked: string | undefined): number | undefined => {
  if (asked === undefined) return undefined
  const port = /^\d+$/.test(asked) ? Number(asked) : Number.NaN
  if (port <= 65_535) return port
  throw new UsageError(`--inspect=${asked}: it must be a port, or nothing for any.`)
}

const isAdapter = (name: string): name is AdapterName => (adapterNames as readonly string[]).includes(name)

const isProtocol = (name: string | undefined): name is Protocol => (protocols as readonly unknown[]).includes(name)

const tokenFrom = (name: string | undefined): string | undefined => {
  if (name === undefined) return undefined
  const token = process.env[name]
  if (!token) throw new UsageError(`--token-env ${name}: there is no such environment variable, or it is empty.`)
  return token
}

const platformFrom = (asked: string | undefined, adapter: string | undefined): string | undefined => {
  if (asked === undefined || (adapter === 'maim' && asked !== '')) return asked
  throw new UsageError('--platform goes with maim, and is a name such as qq.')
}

const proxyFrom = (asked: string | undefined): string | false | undefined => {
  if (asked === 'none') return false
  if (asked === undefined || parseProxy(asked)) return asked
  // not repeated: there may be a password in it
  throw new UsageError(
    '--proxy: it must be none, or the URL of a proxy such as http://host:3128 or socks5://host:1080.',
  )
}

const languageOf = (asked: string | undefined): Language => {
  if (asked === undefined) return (process.env.LC_ALL || process.env.LANG || '').startsWith('zh') ? 'zh' : 'en'
  if (asked === 'en' || asked === 'zh') return asked
  throw new UsageError(`--lang ${asked}: it must be en or zh.`)
}

// `| head` has had enough
process.stdout.on('error', () => process.exit(EXIT.unread))

try {
  process.exitCode = await run()
} catch (error) {
  // an inspector that has gone is nobody's mistake
  const isUsage = error instanceof UsageError || (isHoldfastError(error) && error.code !== 'stopped')
  const text = error instanceof Error ? error.message : String(error)
  // what a module of the user's started, or a lookup that nobody answers, would keep the process alive
  process.stderr.write(`${text}\n${error instanceof UsageError ? `\n${USAGE}` : ''}`, () =>
    process.exit(isUsage ? EXIT.usage : EXIT.failed),
  )
}
