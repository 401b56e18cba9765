/** The table of docs/adapters/wechat.md against the adapter. */
import { expect, it } from 'vitest'
import { read } from '../house/source.ts'
import { type Api, script, wechatRig } from './fake-wechat.ts'

const rows = [...read('docs/adapters/wechat.md').matchAll(/^\| (\w+) \| (\d+) \| [^|]* \| `([\w-]+)` \|$/gm)].map(
  ([, api, code, fault]) => [api as Api, Number(code), fault] as const,
)

const replyOf = (api: Api, code: number) => {
  if (api === 'login') return script.login(code)
  if (api === 'redirect') return script.redirect(code)
  return api === 'synccheck' ? script.synccheck(code) : script.object(code)
}

it('the table is there', () => expect(rows.length).toBeGreaterThan(8))

it.each(rows)('%s answers %i: %s', async (api, code, fault) => {
  const made = wechatRig()
  made.web.fault = (asked) => (asked === api ? replyOf(api, code) : undefined)
  await made.clock.advance(2_000)
  expect(made.faults[0]).toBe(fault)
  await made.end()
})
