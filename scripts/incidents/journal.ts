/**
 * Writes down what happens to links in virtual time, in the order in which it happens: their transitions into a trace, as
 * any process does, and what no trace has beside them.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Happening } from '../../src/diagram/sequence.ts'
import type { Link } from '../../src/link.ts'
import { readTraceFile } from '../../src/observe/trace.ts'
import { openTrace } from '../../src/observe/trace-file.ts'
import type { FakeNetwork, PeerScript } from '../../src/testing/fake-network.ts'
import { type HeapClock, heapClock } from '../../src/testing/heap-clock.ts'

/** As of the fake network. */
const LATENCY_MS = 10

export class Journal {
  readonly clock: HeapClock = heapClock()
  readonly #happenings: Happening[] = []
  readonly #folder = mkdtempSync(join(tmpdir(), 'holdfast-incident-'))
  readonly #file = join(this.#folder, 'incident.hf.ndjson')
  readonly #trace = openTrace(this.#file)
  /** Frames are told while this is set: not every heartbeat is worth a line. */
  tellsFrames = false
  #isOver = false

  tell(from: string, to: string, text: string, more: { lost?: boolean } = {}): void {
    if (!this.#isOver) this.#happenings.push({ elapsedMs: this.clock.now(), from, to, text, ...more })
  }

  /** Notes every transition of a link, with the peer that it deals with at that moment. */
  follow(link: Link, peerNow: () => string): void {
    link.transitions$.subscribe((record) => {
      if (this.#isOver) return
      this.#trace.add(record)
      this.#happenings.push({ record, peer: peerNow() })
    })
  }

  /** All of it, oldest first; the transitions as they are read from the trace. */
  async read(): Promise<Happening[]> {
    await this.#trace.close()
    const { records } = await readTraceFile(this.#file)
    rmSync(this.#folder, { recursive: true })
    const inTrace = records.values()
    return this.#happenings.map((each) => ('record' in each ? { ...each, record: inTrace.next().value! } : each))
  }

  /** A OneBot peer that greets and answers every action, and whose frames are told. */
  onebotPeer(link: string, peer: string): PeerScript {
    return {
      greeting: [welcome],
      answer: (frame) => {
        const { action, echo } = JSON.parse(String(frame)) as { action: string; echo: string }
        const data = action === 'get_status' ? { online: true, good: true } : { message_id: 1 }
        if (this.tellsFrames) {
          this.tell(link, peer, action)
          this.clock.setTimeout(() => this.tell(peer, link, `${action}: ok`), LATENCY_MS)
        }
        return { status: 'ok', retcode: 0, data, echo }
      },
    }
  }

  /** Lets time pass until the link is somewhere, and fails loudly if it does not get there. */
  async until(link: Link, state: string, withinMs = 60_000): Promise<void> {
    const end = this.clock.now() + withinMs
    for (;;) {
      // promises settle first: what they lead to may be due before anything that is set now
      await this.clock.advance(0)
      if (link.status.state === state) return
      if (this.clock.now() >= end) throw new Error(`${link.id} is ${link.status.state} and not ${state}`)
      await this.clock.advance(Math.min(this.clock.nextInMs ?? 1, end - this.clock.now()))
    }
  }

  /** What the links do from here on is not part of the story. */
  async end(...links: Link[]): Promise<void> {
    this.#isOver = true
    for (const link of links) void link.stop({ drainMs: 0 })
    await this.clock.advance(1)
  }
}

export const welcome = { post_type: 'meta_event', meta_event_type: 'lifecycle', sub_type: 'connect' }

export const refusal = { status: 'failed', retcode: 1403, data: null, message: 'token验证失败', echo: null }

/** The token that the link shows. */
export const tokenShownTo = (network: FakeNetwork): string | undefined =>
  network.current?.endpoint.target.headers?.Authorization?.replace('Bearer ', '')
