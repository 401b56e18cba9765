/** The orders of viewers: to links, and to the peer of a lab. */
import type { Board } from './board.ts'
import type { Order } from './protocol.ts'

/** A peer of one's own that breaks on order. */
export interface LabPort {
  readonly faults: readonly string[]
  /** The name of the link that they strike: the page shows it to whoever orders one. */
  readonly link?: string
  /** Resolves when the fault is over. A rejection's message is told to the viewer. */
  play(fault: string): Promise<void>
}

/** Rejects with an Error whose message is for the viewer. */
export const obeyer =
  (board: Board, control: boolean, lab: LabPort | undefined) =>
  async ({ cmd, index = -1, fault = '' }: Order): Promise<void> => {
    if (!control) throw new Error('This inspector only watches.')
    if (cmd === 'fault') {
      if (!lab?.faults.includes(fault)) throw new Error('There is no such fault.')
      return lab.play(fault)
    }
    const link = board.get(index)?.link
    if (!link) throw new Error('There is no such link any more.')
    // that it has stopped is seen in its state; the viewer need not wait for it
    if (cmd === 'stop') void link.stop()
    else link[cmd]()
  }
