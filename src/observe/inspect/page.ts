/** The files of the page, by the exact names that the build gave them. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import type { ServerResponse } from 'node:http'
import { extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.json': 'application/json; charset=utf-8',
  '.ndjson': 'application/x-ndjson; charset=utf-8',
}

const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  "img-src 'self' data:",
  "frame-ancestors 'none'",
  "base-uri 'none'",
  "form-action 'none'",
].join('; ')

export const headers = {
  'Content-Security-Policy': POLICY,
  'X-Content-Type-Options': 'nosniff',
  'Referrer-Policy': 'no-referrer',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Cache-Control': 'no-store',
} as const

const INDEX = 'index.html'
const NOT_BUILT = 'The page is not built: run `npm run build` in the checkout.\n'

export type Page = (name: string | undefined, response: ServerResponse, withBody: boolean) => void

/** Finds the names once; only what is on the list is ever read. `scripts` are run by the page after its own, by name. */
export const page = (scripts: Readonly<Record<string, string>> = {}, folder = builtPage()): Page => {
  const files = new Map(filesOf(folder).map((name) => [name, join(folder, name)]))
  const tags = Object.keys(scripts).map((name) => `<script defer src="${name}"></script>\n`)

  const contentOf = (name: string): Buffer | undefined => {
    if (Object.hasOwn(scripts, name)) return Buffer.from(scripts[name]!)
    const file = files.get(name)
    const content = file === undefined ? undefined : read(file)
    if (name !== INDEX || tags.length === 0) return content
    return content && Buffer.from(content.toString().replace('</head>', `${tags.join('')}</head>`))
  }

  return (asked, response, withBody) => {
    const name = asked === '' ? INDEX : (asked ?? '')
    const body = contentOf(name)
    if (!body) {
      answer(response, 404, asked === '' ? NOT_BUILT : 'There is no such file.\n', withBody)
      return
    }
    response.writeHead(200, { ...headers, 'Content-Type': TYPES[extname(name)], 'Content-Length': body.length })
    response.end(withBody ? body : undefined)
  }
}

/** It may be gone: somebody builds anew. */
const read = (file: string): Buffer | undefined => {
  try {
    return readFileSync(file)
  } catch {
    return undefined
  }
}

export const answer = (response: ServerResponse, status: number, text: string, withBody = true): void => {
  response.writeHead(status, { ...headers, 'Content-Type': 'text/plain; charset=utf-8' })
  response.end(withBody ? text : undefined)
}

/** Beside the file that this code was built into, or in a checkout where the build puts it. */
const builtPage = (): string => {
  const beside = fileURLToPath(new URL('./visualizer/', import.meta.url))
  return existsSync(beside) ? beside : fileURLToPath(new URL('../../../dist/visualizer/', import.meta.url))
}

const filesOf = (folder: string, below = ''): string[] => {
  if (!existsSync(folder)) return []
  return readdirSync(join(folder, below), { withFileTypes: true }).flatMap((entry) => {
    const name = below + entry.name
    if (entry.isDirectory()) return filesOf(folder, `${name}/`)
    return extname(name) in TYPES ? [name] : []
  })
}
