/**
 * `holdfast replay` in the browser: the page, with the traces dropped on it as a person would drop them. Served to this
 * machine alone; the files are for whoever has the token of the printed URL.
 */
import { createReadStream } from 'node:fs'
import { open } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { basename } from 'node:path'
import { HoldfastError, textOf } from '../error.ts'
import { gate } from '../observe/inspect/gate.ts'
import { inspect } from '../observe/inspect/index.ts'
import { answer, headers, page } from '../observe/inspect/page.ts'
import { TOKEN_KEY } from '../observe/inspect/protocol.ts'
import { tokenCheck } from '../secret.ts'

export interface ReplayPage extends AsyncDisposable {
  /** Open this in a browser. It holds the token, and the link to look at. */
  readonly url: string
}

const HOST = '127.0.0.1'
const SCRIPT = 'dropped.js'
const TRACE = /^\/trace\/(\d+)$/

/** One trace, or two to compare. Rejects with HoldfastError `bad-option` for a file that cannot be read. */
export const replayPage = async (files: readonly string[], link?: string): Promise<ReplayPage> => {
  for (const file of files) await checkReadable(file)
  // its links are none: what it has is the token, and a stream that keeps the page from calling the process gone
  const inspector = await inspect([], { port: false })
  const address = new URLSearchParams(inspector.url.slice(inspector.url.indexOf('#') + 1))
  const isToken = tokenCheck(address.get(TOKEN_KEY)!)
  const { admits } = gate(HOST, [])
  const serve = page({ [SCRIPT]: dropScript(files.map((file) => basename(file))) })

  const handler = (request: IncomingMessage, response: ServerResponse): void => {
    const { url = '' } = request
    const file = files[Number(TRACE.exec(url)?.[1] ?? -1)]
    if (!admits(request) || request.method !== 'GET') inspector.handler(request, response)
    else if (file === undefined) serve(url.slice(1), response, true)
    else if (isToken(request.headers.authorization?.replace(/^Bearer /, '') ?? '')) send(file, response)
    else answer(response, 401, 'Only with the token.\n')
  }
  const server = createServer(handler).on('upgrade', inspector.upgrade)
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, HOST, resolve))
  if (link !== undefined) address.set('link', link)
  return {
    url: `http://${HOST}:${(server.address() as AddressInfo).port}/#${address}`,
    [Symbol.asyncDispose]: async () => {
      await inspector.close()
      server.close()
      server.closeAllConnections()
    },
  }
}

const checkReadable = async (file: string): Promise<void> => {
  try {
    const handle = await open(file)
    const isFile = (await handle.stat()).isFile()
    await handle.close()
    if (!isFile) throw new Error(`${file} is no file`)
  } catch (error) {
    throw new HoldfastError('bad-option', `The trace cannot be read: ${textOf(error)}`, { cause: error })
  }
}

const send = (file: string, response: ServerResponse): void => {
  const stream = createReadStream(file)
  stream.once('open', () => {
    response.writeHead(200, { ...headers, 'Content-Type': 'application/octet-stream' })
    stream.pipe(response)
  })
  // gone since it was looked at
  stream.once('error', () => (response.headersSent ? response.destroy() : answer(response, 404, 'It is gone.\n')))
}

/** Runs after the page itself, which has kept the token of the address by then. */
const dropScript = (names: readonly string[]): string => `
const headers = { authorization: 'Bearer ' + sessionStorage.getItem('holdfast.token') }
const fetchFile = async (name, index) => {
  const answer = await fetch('trace/' + index, { headers })
  if (!answer.ok) throw new Error(await answer.text())
  return new File([await answer.blob()], name)
}
Promise.all(${JSON.stringify(names)}.map(fetchFile)).then((files) => {
  const dataTransfer = new DataTransfer()
  for (const file of files) dataTransfer.items.add(file)
  document.dispatchEvent(new DragEvent('drop', { dataTransfer }))
})
`
