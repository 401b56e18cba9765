/** The answers to probes, for whatever serves them: node:http, fetch-style servers, or a server of ours. */
import type { HealthReport, ProcessHealth } from './report.ts'

export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** What a probe asks for. */
export type Probe = 'livez' | 'readyz'

/** Undefined for a path that is none of a probe. */
export const probeAt = (url: string): Probe | undefined => {
  const path = url.replace(/^[a-z]+:\/\/[^/]*/i, '').replace(/[?#].*$/s, '')
  return path === '/livez' ? 'livez' : path === '/readyz' ? 'readyz' : undefined
}

const METHODS: readonly unknown[] = ['GET', 'HEAD']

export const answerTo = (method: unknown, probe: Probe | undefined, check: () => HealthReport): Answer => {
  if (probe === undefined) return answer(404, { error: 'There is /livez and /readyz.' })
  if (!METHODS.includes(method)) return answer(405, { error: 'Only GET and HEAD.' }, { Allow: 'GET, HEAD' })
  const report = check()
  if (probe === 'livez') return answer(200, alive(report.process))
  const { ready, retryAfterMs } = report
  if (ready) return answer(200, report)
  return answer(503, report, { 'Retry-After': String(Math.max(1, Math.ceil((retryAfterMs ?? 0) / 1_000))) })
}

/** Nothing of a peer is in it: a restart of this process would not bring that back. */
const alive = (process: ProcessHealth) => ({ alive: true, process })

const answer = (status: number, body: object, more: Readonly<Record<string, string>> = {}): Answer => {
  const text = `${JSON.stringify(body)}\n`
  const headers = {
    'Content-Type': 'application/json; charset=utf-8',
    'Content-Length': String(Buffer.byteLength(text)),
    'Cache-Control': 'no-store',
    'X-Content-Type-Options': 'nosniff',
    ...more,
  }
  return { status, headers, body: text }
}
