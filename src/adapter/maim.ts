/**
 * MaiBot's core, as the bridges that bring it messages see it: the WebSocket of maim_message before 0.7.
 * Facts: MaiM-with-u/maim_message, ws_connection.py and message_base.py; docs/adapters/maim.md says who sends what.
 */
import { HoldfastError } from '../error.ts'
import { type Adapter, checkTarget, type Dialogue, describe, type Io, refuseUnknown, type Target } from './adapter.ts'
import { credential, type Token, type TokenProvider } from './credential.ts'
import { asObject, type JsonObject, readObject } from './json.ts'

/** A part of a message. `data` of a `seglist` is a list of such; of an image it is base64. */
export interface MaimSegment {
  readonly type: string
  readonly data: unknown
}

export interface MaimUser {
  readonly platform?: string
  readonly user_id: string | number
  readonly [field: string]: unknown
}

export interface MaimGroup {
  readonly platform?: string
  readonly group_id: string | number
  readonly [field: string]: unknown
}

export interface MaimMessageInfo {
  /** Default: the `platform` of the link. */
  readonly platform?: string
  /** From the core: the parts of one reply share it, so it is no key. */
  readonly message_id?: string | number | null
  /** In seconds since 1970. */
  readonly time?: number | null
  readonly user_info?: MaimUser | null
  readonly group_info?: MaimGroup | null
  readonly [field: string]: unknown
}

/** What a person or the core said. */
export interface MaimMessage {
  readonly message_info: MaimMessageInfo
  readonly message_segment: MaimSegment
  readonly raw_message?: string | null
}

/** Something between core and bridge that nobody said, such as `message_id_echo`. */
export interface MaimCustom {
  readonly is_custom_message: true
  readonly message_type_name: string
  readonly content: unknown
  /** Default: the `platform` of the link. */
  readonly platform?: string
}

export type MaimFrame = MaimMessage | MaimCustom

export interface MaimOptions {
  /** The core's message server, such as `ws://127.0.0.1:8000/ws`. */
  readonly url: string
  /** Whom we bring messages from, such as `qq`. The core keeps one connection for each name: the latest. */
  readonly platform: string
  /** Sent as it is in `Authorization`. A function is asked on every attempt, and once more when the core rejects it. */
  readonly token?: Token | TokenProvider
}

const CLOSE_NORMAL = 1000
const CLOSE_POLICY = 1008
/** With these reasons the core closes a connection when another of the same platform has come. */
const REPLACED = ['新连接取代', '新的连接已建立']
/** A bigger frame would cost the connection: this is the most that any version of the core takes. */
const FRAME_BYTES_MAX = 100 * 1024 * 1024

export const maim = (options: MaimOptions): Adapter<MaimFrame, MaimFrame> => {
  checkTarget(options, 'maim({ url })')
  refuseUnknown(options, ['url', 'platform', 'token'], 'options of maim()')
  const { url, platform, token } = options
  if (typeof platform !== 'string' || platform === '') {
    throw new HoldfastError(
      'bad-option',
      `maim({ platform }) is ${describe(platform)}; it must be a name such as "qq".`,
    )
  }
  checkTarget({ url, headers: { platform } }, 'maim({ platform })')
  const access = token === undefined ? undefined : credential(token, 'maim({ token })')
  return {
    name: 'maim',
    target: async (context): Promise<Target> => {
      if (!access) return { url, headers: { platform } }
      const { token, ...expiry } = await access.get(context)
      const renewal = access.isRenewable ? { renewable: true } : {}
      return { url, headers: { platform, Authorization: token }, secrets: [token], ...expiry, ...renewal }
    },
    dialogue,
    encode: (message) => encode(message, platform),
  }
}

const dialogue = (io: Io<MaimFrame>): Dialogue => {
  let isWelcomed = false
  const welcome = () => {
    if (isWelcomed) return
    isWelcomed = true
    io.welcome()
  }
  return {
    // the core says nothing to those whom it lets in, and closes at once on those whom it does not
    opened: () => io.ping(),
    pong: welcome,
    frame: (raw) => {
      const frame = readObject(raw)
      if (!frame) return 'malformed'
      if (!isMessage(frame) && !isCustom(frame)) return 'unknown'
      welcome()
      io.deliver(frame as unknown as MaimFrame)
      return 'taken'
    },
    closed: (code, reason) => {
      if (code === CLOSE_POLICY) return 'credentials-rejected'
      return code === CLOSE_NORMAL && REPLACED.includes(reason) ? 'poll-conflict' : undefined
    },
  }
}

const isMessage = ({ message_info, message_segment }: JsonObject): boolean =>
  asObject(message_info) !== undefined && typeof asObject(message_segment)?.type === 'string'

const isCustom = ({ is_custom_message, message_type_name }: JsonObject): boolean =>
  is_custom_message === true && typeof message_type_name === 'string'

const encode = (message: MaimFrame, platform: string) => {
  const frame = JSON.stringify(addressed(message, platform))
  if (Buffer.byteLength(frame) > FRAME_BYTES_MAX)
    throw new Error('the message is over the 100 MiB that a frame may have')
  return { frame, conversation: conversationOf(message) }
}

/** The core cannot tell where a message belongs that names no platform. */
const addressed = (message: MaimFrame, platform: string): MaimFrame => {
  const given = asObject(message) ?? {}
  if (isCustom(given)) return { platform, ...(message as MaimCustom) }
  if (isMessage(given)) {
    const { message_info, ...rest } = message as MaimMessage
    return { message_info: { platform, ...message_info }, ...rest }
  }
  throw new Error('a message needs { message_info, message_segment: { type, data } }')
}

const conversationOf = (message: MaimFrame): string => {
  if (!('message_info' in message)) return 'custom'
  const { group_info, user_info } = message.message_info
  return group_info ? `group ${group_info.group_id}` : `user ${user_info?.user_id}`
}
