/** What the frames of OneBot v11 mean, however they came: events, heartbeats, replies. */
import type { Dialogue, Io, Verdict } from '../adapter.ts'
import { asObject, type JsonObject, readObject } from '../json.ts'

/** An event of OneBot v11 as the implementation sent it: message, notice, request. Heartbeats are not among them. */
export interface OnebotEvent {
  readonly time: number
  readonly self_id: number
  readonly post_type: string
  readonly [field: string]: unknown
}

/** NapCat accepts the upgrade, says this in a frame and then closes without a code. */
const RETCODE_FORBIDDEN = 1403

/** The dialogue over a WebSocket, whoever dialed. */
export const frameDialogue = (io: Io<OnebotEvent>): Dialogue => {
  let welcomed = false
  /** `judge` says what the link should know of the account before it is live. */
  const welcome = (judge: () => void = () => undefined) => {
    const isFirst = !welcomed
    welcomed = true
    if (isFirst) io.welcome({ replaying: true })
    judge()
    if (isFirst) io.caughtUp()
  }

  const reply = (frame: JsonObject): 'taken' => {
    const { echo, retcode, status } = frame
    if (!welcomed && retcode === RETCODE_FORBIDDEN) {
      io.fail('credentials-rejected', { detail: refusalOf(frame) })
      return 'taken'
    }
    if (typeof echo !== 'string') return 'taken'
    // the answer of get_status, our probe, means the same as the status in a heartbeat
    const data = asObject(frame.data)
    if (typeof data?.good === 'boolean') judgeStatus(io, data)
    if (status === 'failed') io.refuse(echo, refusalOf(frame))
    else io.answer(echo, frame.data)
    return 'taken'
  }

  return {
    frame: (raw) => {
      const frame = readObject(raw)
      if (!frame) return 'malformed'
      return 'retcode' in frame && 'status' in frame ? reply(frame) : readEvent(io, frame, welcome)
    },
  }
}

/** `heard` is called for every event of a kind that we know; what it is given belongs before the link is live. */
export const readEvent = (
  io: Io<OnebotEvent>,
  frame: JsonObject,
  heard: (judge?: () => void) => void,
): Exclude<Verdict, 'malformed'> => {
  if (typeof frame.post_type !== 'string') return 'unknown'
  if (frame.post_type !== 'meta_event') {
    heard()
    io.deliver(frame as unknown as OnebotEvent)
    return 'taken'
  }
  if (frame.meta_event_type === 'heartbeat') {
    heard(() => {
      if (typeof frame.interval === 'number') io.heartbeat({ expectMs: frame.interval })
      judgeStatus(io, asObject(frame.status))
    })
  } else if (frame.meta_event_type === 'lifecycle') heard()
  else return 'unknown'
  return 'taken'
}

/** The status in a heartbeat, or what `get_status` answers. */
export const judgeStatus = (io: Io<OnebotEvent>, status: JsonObject | undefined): void => {
  if (status?.online === false) io.impaired('account-offline', 'status.online is false')
  else if (status?.online === true) io.recovered()
}

/** Why an implementation did not do what it was asked. */
export const refusalOf = ({ retcode, wording, message, msg }: JsonObject): string => {
  const text = [wording, message, msg].find((each) => typeof each === 'string' && each !== '')
  return `retcode ${JSON.stringify(retcode)}: ${text ?? 'no reason given'}`
}
