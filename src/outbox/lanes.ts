/**
 * Order within a conversation: the next message may be written only where it cannot overtake. Frames of one transport
 * arrive in order; a request, or another transport, may be quicker than what is still under way.
 */

interface Lane {
  waiting: number
  written: number
  /** Where its messages are under way: there are never two of these. */
  pipe: object | undefined
}

interface Member {
  readonly conversation: string | undefined
}

export class Lanes {
  readonly #lanes = new Map<string, Lane>()

  /** How many messages of its conversation wait. A message without a conversation follows nobody. */
  waiting({ conversation }: Member): number {
    return (conversation !== undefined && this.#lanes.get(conversation)?.waiting) || 0
  }

  isFree({ conversation }: Member, pipe: object): boolean {
    if (conversation === undefined) return true
    const lane = this.#lanes.get(conversation)
    return !lane || lane.written === 0 || lane.pipe === pipe
  }

  waits({ conversation }: Member): void {
    if (conversation !== undefined) this.#lane(conversation).waiting++
  }

  waitsNoMore({ conversation }: Member): void {
    if (conversation === undefined) return
    this.#lane(conversation).waiting--
    this.#drop(conversation)
  }

  isWritten({ conversation }: Member, pipe: object): void {
    if (conversation === undefined) return
    const lane = this.#lane(conversation)
    lane.written++
    lane.pipe = pipe
  }

  isWrittenNoMore({ conversation }: Member): void {
    if (conversation === undefined) return
    this.#lane(conversation).written--
    this.#drop(conversation)
  }

  #lane(name: string): Lane {
    const lane = this.#lanes.get(name) ?? { waiting: 0, written: 0, pipe: undefined }
    this.#lanes.set(name, lane)
    return lane
  }

  #drop(name: string): void {
    const { waiting, written } = this.#lane(name)
    if (waiting === 0 && written === 0) this.#lanes.delete(name)
  }
}
