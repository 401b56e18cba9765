/** Telegram's webhook on real sockets: a Bot API that posts to a listener, and others who try to. */
import { afterEach, expect, it } from 'vitest'
import { telegram } from '../../src/adapter/telegram.ts'
import { connect } from '../../src/link.ts'
import { listener } from '../../src/listen/listener.ts'
import { BotApi, serveBotApi, TOKEN } from '../peers/bot-api.ts'
import { cleanUp, closeAll, held, until } from './callers.ts'

afterEach(closeAll)

const SECRET = 'canary-secret-0123456789'

/** A proxy with TLS would stand between them; its address is all that differs. */
const linked = async () => {
  const api = new BotApi()
  const server = await serveBotApi(api)
  cleanUp(() => server.stop())
  const port = listener({ port: 0 })
  const post = async (token: string | undefined, body: string, more: RequestInit = {}) => {
    const headers = token === undefined ? {} : { 'X-Telegram-Bot-Api-Secret-Token': token }
    const init = { method: 'POST', headers: { 'Content-Type': 'application/json', ...headers }, body }
    const answer = await fetch(`http://127.0.0.1:${port.port}/bot`, { ...init, ...more } as RequestInit)
    return answer.status
  }
  api.post = ({ secret_token }, body) => post(secret_token, body)
  const webhook = { listener: port, url: 'https://bots.example.test/bot', secret: SECRET }
  const link = held(connect(telegram({ token: TOKEN, apiRoot: server.url, webhook, deleteWebhook: true })))
  const heard: number[] = []
  link.inbound$.subscribe(({ update_id }) => heard.push(update_id))
  return { api, link, post, heard }
}

it('what Telegram posts is heard once, and nothing that others post', async () => {
  const { api, link, post, heard } = await linked()
  const waited = api.receive('waited')
  await link.ready()
  const body = JSON.stringify(api.receive('hi'))
  await until(() => heard.length === 2)
  const forged = JSON.stringify({ update_id: 1_000 })
  expect(await post(SECRET, body)).toBe(204)
  expect(await post(undefined, forged)).toBe(403)
  expect(await post('canary-secret-9876543210', forged)).toBe(403)
  expect(await post(SECRET, 'x'.repeat(1024 * 1024 + 1))).toBe(413)
  expect(await post(SECRET, '', { method: 'GET', body: null })).toBe(405)
  const twice: [string, string][] = Array(2).fill(['X-Telegram-Bot-Api-Secret-Token', SECRET])
  expect(await post(SECRET, forged, { headers: twice })).toBe(403)
  expect(await post(SECRET, 'no json')).toBe(204)
  expect(heard).toEqual([waited.update_id, waited.update_id + 1])
  expect([link.stats.frames.malformed, link.status.state]).toEqual([1, 'live'])
  expect(await link.call('sendMessage', { chat_id: 200, text: 'hi' })).toMatchObject({ message_id: 1 })
})

it('guesses, however many, do not keep Telegram out, and are not read', async () => {
  const { api, link, post, heard } = await linked()
  await link.ready()
  const statuses = []
  for (let i = 0; i < 12; i++) statuses.push(await post(`canary-guess-${i}`, 'x'.repeat(100_000)))
  expect(statuses).toEqual([...Array(10).fill(403), 429, 429])
  const { update_id } = api.receive('hi')
  await until(() => heard.length === 1)
  expect([heard, api.failed]).toEqual([[update_id], {}])
})

it('the end of the link removes the webhook where that was allowed, and closes the port', async () => {
  const { api, link, post } = await linked()
  await link.ready()
  expect(api.webhook).not.toBe('')
  await link.stop()
  expect(api.webhook).toBe('')
  await expect(post(SECRET, '{}')).rejects.toThrow()
})
