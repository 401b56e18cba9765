/** What must not get through, counted: names, origins, canaries and scripts. The tests that try them are run, and say how many. */
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { payloads } from '../visualizer/payloads.ts'
import type { Report } from './report.ts'

interface TestResult {
  readonly fullName: string
  readonly status: string
}

interface Results {
  readonly testResults: readonly { readonly assertionResults: readonly TestResult[] }[]
}

const FILES = ['test/observe/gate.test.ts', 'test/observe/canaries.test.ts', 'test/visualizer']

/** Runs them; resolves to what became of each, and to what they printed. */
const run = async (): Promise<{ results: readonly TestResult[]; said: string }> => {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-threats-'))
  const file = join(folder, 'results.json')
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${file}`]
  const args = ['node_modules/vitest/vitest.mjs', 'run', ...FILES, '-t', '^(.* )?T[129] ', '--retry=0', ...reporters]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'ignore'] })
  const said = await text(child.stdout)
  const { testResults }: Results = JSON.parse(readFileSync(file, 'utf8'))
  rmSync(folder, { recursive: true })
  return { results: testResults.flatMap(({ assertionResults }) => assertionResults), said }
}

export const bench = async (report: Report): Promise<void> => {
  const { results, said } = await run()
  const count = (pattern: RegExp) => Number(pattern.exec(said)?.[1] ?? 0)
  const tell = (threat: string, what: string, tried: number, least: number) => {
    const own = results.filter(({ fullName, status }) => fullName.includes(`${threat} `) && status !== 'skipped')
    const failed = own.filter(({ status }) => status !== 'passed').length
    const kept = tried >= least && own.length > 0 && failed === 0
    report(what, `${tried} tried, ${failed === 0 && own.length > 0 ? 0 : '?'} through`, `>= ${least}, 0 through`, kept)
  }
  tell('T2', 'names of somebody else in Host', count(/T2: (\d+) names/), 40)
  tell('T2', 'pages of somebody else in Origin', count(/T2: (\d+) origins/), 30)
  tell('T9', 'scripts as names, reasons and states of links', new Set(payloads).size, 40)
  tell('T1', 'canaries times sinks', count(/T1: (\d+) checks, 0 hits/), 12 * 15)
}
