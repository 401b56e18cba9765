/**
 * An incident, replayed: the same fault against the way in which the system itself did it, and against holdfast. Both run
 * against real sockets, in seconds; the naive side runs the real package, in a process of its own, wherever there is one.
 */

export const incidents = ['koishi', 'maimbot', 'lagrange', 'wechatbot', 'openim'] as const
export type Incident = (typeof incidents)[number]

export interface Side {
  /** Whether it served again without a person, within the time of the replay. */
  readonly recovered: boolean
  /** From the moment the peer was well again, in milliseconds; null if it did not recover. */
  readonly recoveredMs: number | null
  /** Dials, logins or polls that it took, as the peer counted them. */
  readonly attempts: number
  /** Messages that the protocol would have let it keep, and that nobody got. */
  readonly lost: number
  /** What happened, in one sentence, with the numbers. */
  readonly note: string
}

export interface Replay {
  readonly incident: Incident
  /** What goes wrong, in one sentence. */
  readonly fault: string
  naive(): Promise<Side>
  holdfast(): Promise<Side>
}
