/**
 * A Koishi plugin whose OneBot bot is held by holdfast: Koishi's own retrying is not used, and the bot is ONLINE only while
 * its link is live.
 *
 *   app.plugin(require('./examples/koishi-plugin'), { endpoint: 'ws://127.0.0.1:3001/', token: '…', selfId: '10000' })
 *
 * Text, mentions and pictures go both ways; what else a message holds is left out.
 */
const { Adapter, Bot, h, MessageEncoder, Schema, Universal } = require('koishi')
const { connect } = require('holdfast')
const { onebot } = require('holdfast/onebot')

const { Status, Channel } = Universal
const PRIVATE = 'private:'

/** Koishi gives up a bot that is OFFLINE, so that is said only of a link that waits for a person. */
const statusOf = (state, wasLive) => {
  if (state === 'live') return Status.ONLINE
  if (state === 'parked' || state === 'stopped') return Status.OFFLINE
  if (state === 'closing') return Status.DISCONNECT
  return wasLive ? Status.RECONNECT : Status.CONNECT
}

class HoldfastAdapter extends Adapter {
  static reusable = true
  #link

  constructor(ctx, bot) {
    super(ctx)
    bot.adapter = this
    // Koishi does not disconnect a bot that is OFFLINE
    ctx.on('dispose', () => this.disconnect())
  }

  /** At the start, and when a person starts the bot again. */
  async connect(bot) {
    if (this.#link) return this.#link.resume()
    const { endpoint, token, selfId } = bot.config
    const log = this.ctx.logger('holdfast')
    const write = (level) => (line) => log[level]('%s', line)
    const logger = { info: write('info'), warn: write('warn'), error: write('error') }
    const link = connect(onebot({ url: endpoint, ...(token && { accessToken: token }) }), {
      id: `onebot:${selfId}`,
      logger,
      logLanguage: 'zh',
    })
    this.#link = link
    bot.link = link
    let wasLive = false
    link.state$.subscribe(({ state }) => {
      wasLive ||= state === 'live'
      bot.error = state === 'parked' ? new Error(link.explain({ language: 'zh' }).text) : undefined
      bot.status = statusOf(state, wasLive)
    })
    link.inbound$.subscribe((event) => event.post_type === 'message' && bot.dispatch(sessionOf(bot, event)))
  }

  async disconnect() {
    const link = this.#link
    this.#link = undefined
    await link?.stop()
  }
}

const sessionOf = (bot, { message_type, group_id, user_id, message_id, time, sender, message }) => {
  const isPrivate = message_type === 'private'
  const id = isPrivate ? `${PRIVATE}${user_id}` : String(group_id)
  return bot.session({
    type: 'message',
    timestamp: time * 1_000,
    user: { id: String(user_id), name: sender?.nickname },
    channel: { id, type: isPrivate ? Channel.Type.DIRECT : Channel.Type.TEXT },
    ...(isPrivate ? {} : { guild: { id } }),
    message: { id: String(message_id), elements: elementsOf(message) },
  })
}

const elementsOf = (message) => (typeof message === 'string' ? [h.text(message)] : message.flatMap(elementOf))

const elementOf = ({ type, data }) => {
  if (type === 'text') return h.text(data.text)
  if (type === 'at') return h.at(data.qq)
  return type === 'image' ? h.image(data.url) : []
}

class SegmentEncoder extends MessageEncoder {
  #segments = []

  async visit({ type, attrs, children }) {
    if (type === 'text') this.#segments.push({ type: 'text', data: { text: attrs.content } })
    else if (type === 'at') this.#segments.push({ type: 'at', data: { qq: attrs.type === 'all' ? 'all' : attrs.id } })
    else if (type === 'img' || type === 'image') this.#segments.push({ type: 'image', data: { file: attrs.src } })
    else if (type === 'message') {
      await this.flush()
      await this.render(children, true)
    } else await this.render(children)
  }

  async flush() {
    const message = this.#segments.splice(0)
    if (message.length === 0) return
    const { channelId, bot } = this
    const to = channelId.startsWith(PRIVATE)
      ? { user_id: Number(channelId.slice(PRIVATE.length)) }
      : { group_id: Number(channelId) }
    // waits for a live link, ten seconds at most, and throws if it cannot be said that it was sent
    const { message_id } = await bot.link.call('send_msg', { ...to, message })
    this.results.push({ id: String(message_id) })
  }
}

class HoldfastBot extends Bot {
  static MessageEncoder = SegmentEncoder
  static Config = Schema.object({
    endpoint: Schema.string().role('link').required().description('OneBot 实现的 WebSocket 地址。'),
    token: Schema.string().role('secret').description('访问令牌。'),
    selfId: Schema.string().required().description('机器人的账号。'),
  })

  constructor(ctx, config) {
    super(ctx, config, 'onebot')
    this.selfId = config.selfId
    ctx.plugin(HoldfastAdapter, this)
  }

  async createDirectChannel(userId) {
    return { id: `${PRIVATE}${userId}`, type: Channel.Type.DIRECT }
  }
}

module.exports = HoldfastBot
