/** `npm test`: everything that the tests need, then the tests. The last line is `N passed, N failed`, alone. */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { binOf, ensureBuild, ensureDependencies, ensureSystemPackages, main, root, SetupError } from './setup.mjs'

const results = join(root, 'node_modules/.cache/holdfast/vitest.json')

const prepare = () => {
  ensureDependencies()
  const { leftOut } = ensureSystemPackages([
    { command: 'chromium', package: 'chromium', for: 'the tests that draw in a browser' },
    { command: 'ip', package: 'iproute2', for: 'the network laboratory' },
    { command: 'python3', package: 'python3', for: 'the network laboratory' },
    { command: 'etcd', package: 'etcd-server', for: 'the tests that register or keep leases at a real etcd' },
    { command: 'nats-server', package: 'nats-server', for: 'the tests of leases at a real NATS server' },
    { command: 'openssl', package: 'openssl', for: 'the tests that need certificates' },
  ])
  const peers = join(root, 'test/peers')
  if (existsSync(join(peers, 'package.json'))) ensureDependencies(peers)
  ensureBuild()
  return leftOut
}

const runVitest = (args) => {
  mkdirSync(dirname(results), { recursive: true })
  rmSync(results, { force: true })
  const unsteady = join(root, 'scripts/unsteady-tests.mjs')
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${results}`, `--reporter=${unsteady}`]
  const { status } = spawnSync(process.execPath, [binOf('vitest'), 'run', ...reporters, ...args], {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  return status
}

/** A file that fails before its first test counts as one failure, and so does a run that fails for no test's fault. */
const count = (status) => {
  if (!existsSync(results)) return { passed: 0, failed: 1, left: [], remarks: ['vitest ended without a result'] }
  const { numPassedTests, numFailedTests, testResults } = JSON.parse(readFileSync(results, 'utf8'))
  const assertions = testResults.flatMap(({ assertionResults }) => assertionResults)
  const broken = testResults.filter(
    ({ status, assertionResults }) =>
      status === 'failed' && !assertionResults.some((assertion) => assertion.status === 'failed'),
  )
  const left = assertions
    .filter((assertion) => assertion.status !== 'passed' && assertion.status !== 'failed')
    .map(({ fullName }) => fullName)
  const remarks = [
    ...broken.map(({ name }) => `${name.replace(`${root}/`, '')} failed before its first test`),
    ...assertions
      .filter(({ status }) => status === 'failed')
      .map(({ fullName, failureMessages }) => `failed: ${fullName}: ${firstLineOf(failureMessages)}`),
  ]
  const failed = numFailedTests + broken.length
  if (failed > 0 || status === 0) return { passed: numPassedTests, failed, left, remarks }
  return { passed: numPassedTests, failed: 1, left, remarks: ['the run failed outside of any test: see above'] }
}

const firstLineOf = ([message = '']) => message.split('\n', 1)[0]

/** With a filter most tests are left out on purpose; naming them all would bury the result. */
const tell = (names, filtered) => {
  if (filtered) return names.length > 0 ? [`left out by the filter: ${names.length}`] : []
  return names.map((name) => `left out: ${name}`)
}

await main(() => {
  const args = process.argv.slice(2)
  let outcome = { passed: 0, failed: 1, left: [], remarks: [] }
  let leftOut = []
  try {
    leftOut = prepare()
    outcome = count(runVitest(args))
  } catch (error) {
    if (!(error instanceof SetupError)) throw error
    outcome.remarks.push(error.message)
  }
  const lines = [...leftOut.map((line) => `left out: ${line}`), ...tell(outcome.left, args.length > 0)]
  for (const line of [...outcome.remarks, ...lines]) console.log(line)
  console.log(`${outcome.passed} passed, ${outcome.failed} failed`)
  return outcome.failed > 0 ? 1 : 0
})
