/**
 * What MaiBot-Napcat-Adapter did on the day of MaiBot#744 (main.py, maim_message's api.py of April 2025), in JavaScript and ten
 * times as fast: NapCat dials us, we dial the core. One queue for messages and heartbeats, one task for each leg, all under
 * one gather: what escapes from one of them ends the process.
 */
import { WebSocket, WebSocketServer } from 'ws'

const { MAIBOT_URL } = process.env
/** 5 s in the original, whatever happened. */
const RECONNECT_MS = 500
/** 50 ms in the original, after each message. */
const BREATH_MS = 5

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

const queue = []
let wake = () => undefined
const put = (event) => {
  queue.push(event)
  wake()
}
const take = async () => {
  while (queue.length === 0) await new Promise((resolve) => (wake = resolve))
  return queue.shift()
}

const core = { socket: undefined }

const holdCore = async () => {
  for (;;) {
    core.socket = new WebSocket(MAIBOT_URL, { headers: { platform: 'qq' } })
    core.socket.on('message', (data) => sayToQq(JSON.parse(data.toString())))
    core.socket.on('error', () => undefined)
    await new Promise((resolve) => core.socket.once('close', resolve))
    await pause(RECONNECT_MS)
  }
}

const sendToCore = (message) => {
  if (core.socket.readyState !== WebSocket.OPEN) throw new Error('not connected to the server')
  core.socket.send(JSON.stringify(message))
}

const napcat = { socket: undefined }

const holdNapcat = () => {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0 }, () => console.log(`PORT ${server.address().port}`))
  server.on('connection', (socket) => {
    napcat.socket = socket
    socket.on('message', (data) => put(JSON.parse(data.toString())))
  })
  return new Promise(() => undefined)
}

const sayToQq = ({ message_info, message_segment }) => {
  const params = { user_id: message_info.user_info.user_id, message: message_segment.data }
  napcat.socket.send(JSON.stringify({ action: 'send_private_msg', params, echo: String(Math.random()) }))
}

let beatAt = 0
let isWatching = false

/** It says so, and ends. */
const checkHeartbeat = async (intervalMs) => {
  isWatching = true
  while (Date.now() - beatAt <= intervalMs + 300) await pause(intervalMs)
  console.log('ALARM the connection to NapCat is lost')
}

const processMessages = async () => {
  for (;;) {
    const event = await take()
    if (event.post_type === 'message') {
      const { message_id, user_id, raw_message } = event
      const message_info = { platform: 'qq', message_id: String(message_id), user_info: { platform: 'qq', user_id } }
      sendToCore({ message_info, message_segment: { type: 'text', data: raw_message }, raw_message })
    } else if (event.meta_event_type === 'heartbeat') {
      beatAt = Date.now()
      if (!isWatching) void checkHeartbeat(event.interval)
    }
    await pause(BREATH_MS)
  }
}

try {
  await Promise.all([holdNapcat(), holdCore(), processMessages()])
} catch (error) {
  console.log(`ENDED ${error.message}`)
  process.exit(1)
}
