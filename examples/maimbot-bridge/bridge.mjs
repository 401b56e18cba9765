/**
 * A bridge between QQ and MaiBot: NapCat, or another implementation of OneBot v11, on the one leg, MaiBot's core on the
 * other. Each leg is a link of its own: what goes wrong on one is waited out there, and the other does not notice.
 *
 *   NAPCAT_URL=ws://127.0.0.1:3001/ MAIBOT_URL=ws://127.0.0.1:8000/ws node examples/maimbot-bridge/bridge.mjs
 *
 * NAPCAT_TOKEN and MAIBOT_TOKEN if there are any; PLATFORM is the name under which the core knows us, `qq` by default.
 */
import { connect, stopOnSignals } from 'holdfast'
import { maim } from 'holdfast/maim'
import { onebot } from 'holdfast/onebot'

const { NAPCAT_URL = 'ws://127.0.0.1:3001/', NAPCAT_TOKEN: accessToken } = process.env
const { MAIBOT_URL = 'ws://127.0.0.1:8000/ws', MAIBOT_TOKEN: token, PLATFORM: platform = 'qq' } = process.env

const napcat = connect(onebot({ url: NAPCAT_URL, ...(accessToken && { accessToken }) }), { id: 'napcat' })
const core = connect(maim({ url: MAIBOT_URL, platform, ...(token && { token }) }), { id: 'maibot' })
stopOnSignals([napcat, core])

for (const leg of [napcat, core]) {
  leg.state$.subscribe(() => console.log(leg.explain().text))
  leg.settled$.subscribe(({ fate, detail }) => {
    if (fate !== 'delivered') console.log(`${leg.id}: a message is ${fate}: ${detail ?? 'no more is known'}`)
  })
}

/** While the core is away messages wait in its outbox; when that is full, they wait here. */
const bringToCore = async () => {
  for await (const event of napcat) {
    const message = event.post_type === 'message' && (await understood(messageOf, event))
    if (!message) continue
    await core.writable()
    // the core knows a message by its id, so a second copy does less harm than a lost one
    void core.send(message, { idempotencyKey: `qq-${event.message_id}` })
  }
}

const bringToQq = async () => {
  for await (const message of core) {
    const action = await understood(actionOf, message)
    if (!action) continue
    await napcat.writable()
    void napcat.send(action).then(({ result }) => tellId(message, result?.message_id))
  }
}

/** A message that is not as we know it harms nobody but itself. */
const understood = async (translate, message) => {
  try {
    return await translate(message)
  } catch (error) {
    console.log(`a message was not understood: ${error.message}`)
  }
}

/** The core wants to know what its message is called at QQ. */
const tellId = (message, id) => {
  if (id === undefined) return
  const content = { type: 'echo', echo: message.message_info.message_id, actual_id: String(id) }
  void core.send({ is_custom_message: true, message_type_name: 'message_id_echo', content })
}

/** An event of OneBot as the core wants it. */
const messageOf = async ({ self_id, message_id, time, user_id, group_id, sender, message, raw_message }) => ({
  message_info: {
    platform,
    message_id: String(message_id),
    time,
    user_info: { platform, user_id: String(user_id), user_nickname: sender?.nickname, user_cardname: sender?.card },
    ...(group_id && { group_info: { platform, group_id: String(group_id) } }),
    format_info: { content_format: ['text', 'image'], accept_format: ['text', 'image', 'emoji', 'reply'] },
    additional_config: { platform_io_account_id: String(self_id), platform_io_target_user_id: String(user_id) },
  },
  message_segment: { type: 'seglist', data: await Promise.all(listOf(message).map(toCore)) },
  raw_message,
})

/** Implementations may send a message as text with codes in it; that is passed on as it is. */
const listOf = (message) =>
  Array.isArray(message) ? message : [{ type: 'text', data: { text: String(message ?? '') } }]

const toCore = async ({ type, data }) => {
  if (type === 'text') return { type, data: data.text }
  if (type === 'at') return { type, data: String(data.qq) }
  if (type === 'reply') return { type, data: String(data.id) }
  if (type === 'image') return pictureAt(data.url)
  return { type: 'text', data: `[${type}]` }
}

/** Pictures are asked for beside everything else, and never for long: nothing here may hold up the process. */
const pictureAt = async (url) => {
  try {
    const answer = await fetch(url, { signal: AbortSignal.timeout(10_000) })
    if (!answer.ok) throw new Error(`HTTP ${answer.status}`)
    return { type: 'image', data: Buffer.from(await answer.arrayBuffer()).toString('base64') }
  } catch (error) {
    console.log(`a picture is missing: ${error.message}`)
    return { type: 'text', data: '[image]' }
  }
}

/** What the core said as an action of OneBot; undefined for what is for nobody at QQ. */
const actionOf = ({ message_info, message_segment }) => {
  const message = message_segment ? toQq(message_segment) : []
  if (message.length === 0) return undefined
  const { group_info, user_info, additional_config } = message_info
  if (group_info) return { action: 'send_group_msg', params: { group_id: Number(group_info.group_id), message } }
  const user = additional_config?.platform_io_target_user_id ?? user_info.user_id
  return { action: 'send_private_msg', params: { user_id: Number(user), message } }
}

const toQq = ({ type, data }) => {
  if (type === 'seglist' && Array.isArray(data)) return data.flatMap(toQq)
  if (type === 'text') return [{ type, data: { text: data } }]
  if (type === 'at') return [{ type, data: { qq: data } }]
  if (type === 'reply') return [{ type, data: { id: data } }]
  if (type === 'image' || type === 'emoji') return [{ type: 'image', data: { file: `base64://${data}` } }]
  return []
}

/** A leg that was stopped takes nothing more: that is how both ways end. */
const untilStopped = (error) => {
  if (error.code !== 'stopped') throw error
}

await Promise.all([bringToCore().catch(untilStopped), bringToQq().catch(untilStopped)])
