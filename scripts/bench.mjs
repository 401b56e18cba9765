/** `npm run bench [name …]`: measures what the README promises, prints it, and fails where a promise is not kept. */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { ensureBuild, ensureDependencies, loadTypeScript, main, root } from './setup.mjs'

await main(async () => {
  ensureDependencies()
  ensureBuild()
  const known = readdirSync(join(root, 'test/bench'))
    .filter((name) => name.endsWith('.bench.ts'))
    .map((name) => name.replace('.bench.ts', ''))
  const asked = process.argv.slice(2)
  const stranger = asked.find((name) => !known.includes(name))
  if (stranger) {
    console.error(`bench: there is no "${stranger}"; known are ${known.join(', ')}`)
    return 64
  }
  let missed = 0
  for (const name of asked.length > 0 ? asked : known) {
    console.log(`\n${name}`)
    const { bench } = await loadTypeScript(`test/bench/${name}.bench.ts`)
    await bench((what, value, wanted, kept) => {
      if (!kept) missed++
      console.log(`  ${kept ? '✓' : '✗'} ${what.padEnd(62)} ${value.padStart(22)}   wanted ${wanted}`)
    })
  }
  console.log(missed === 0 ? '\nevery promise kept' : `\n${missed} promises not kept`)
  return missed === 0 ? 0 : 1
})
