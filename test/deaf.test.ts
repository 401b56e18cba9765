/** Links that are alive and hear nothing: what is told of them, when it is taken back, and what is no deafness. */
import { describe, expect, it } from 'vitest'
import { onebotRig } from './onebot-rig.ts'
import { type Rig, rig } from './small-talk.ts'

/** The states that it went through. */
const way = ({ link }: { readonly link: Pick<Rig['link'], 'recording'> }): string[] =>
  link.recording.kept.filter(({ from, to }) => from !== to).map(({ to }) => to)

const deafened = async (deafMs: number): Promise<Rig> => {
  const made = rig({ heartbeat: { deafMs } })
  await made.live()
  return made
}

const tell = ({ network }: Pick<Rig, 'network'>, op: string) => network.current!.frame({ op, text: 'hello' })

const live = ['connecting', 'handshaking', 'registered', 'live']

describe('no message for as long as the user says', () => {
  it('R42 although the heartbeat is fine: the link is impaired and says why, and keeps its transport', async () => {
    const made = await deafened(60_000)
    await made.clock.advance(60_000)
    expect(made.link.status.state).toBe('live')
    // the next probe proves that it is not the transport
    await made.clock.advance(8_030)
    expect(made.link.status).toMatchObject({
      state: 'degraded.impaired',
      fault: { code: 'deaf', detail: 'no message for 60000 ms' },
    })
    await made.clock.advance(3_600_000)
    expect(made.link.status.state).toBe('degraded.impaired')
    expect(made.network.transports).toHaveLength(1)
    await made.end()
  })

  it('is over with the next message, and may begin again', async () => {
    const made = await deafened(20_000)
    await made.clock.advance(30_000)
    expect(made.link.status.state).toBe('degraded.impaired')
    tell(made, 'news')
    expect(made.link.status).toMatchObject({ state: 'live', fault: null })
    await made.clock.advance(19_000)
    expect(made.link.status.state).toBe('live')
    await made.clock.advance(10_000)
    expect(made.link.status.state).toBe('degraded.impaired')
    await made.end()
  })

  it('never begins while messages come', async () => {
    const made = await deafened(10_000)
    for (let n = 0; n < 100; n++) {
      await made.clock.advance(9_999)
      tell(made, 'news')
    }
    expect(way(made)).toEqual(live)
    await made.end()
  })

  it('is not told of a peer that is gone: that is the heartbeat to say', async () => {
    const made = await deafened(8_100)
    made.network.healthy = false
    await made.clock.advance(11_500)
    expect(way(made)).toEqual([...live, 'degraded.suspect', 'backoff'])
    await made.end()
  })

  it('is told only when what came with the sign of life has been read', async () => {
    const made = await deafened(5_000)
    await made.clock.advance(6_000)
    tell(made, 'no-such-op')
    tell(made, 'news')
    await made.clock.advance(0)
    expect(way(made)).toEqual(live)
    await made.end()
  })

  it('is not counted while our own process was stalled', async () => {
    const made = await deafened(60_000)
    await made.clock.advance(30_000)
    made.clock.sleep(100_000)
    await made.clock.advance(59_000)
    expect(way(made)).toEqual(live)
    await made.clock.advance(10_000)
    expect(made.link.status.fault?.code).toBe('deaf')
    await made.end()
  })

  it('does not count what is replayed against the link: the time begins when all that was missed has come', async () => {
    const made = rig({ heartbeat: { deafMs: 2_000 }, script: { greeting: [{ op: 'welcome', replaying: true }] } })
    await made.clock.advance(12_000)
    expect(made.link.status.state).toBe('registered')
    tell(made, 'caught-up')
    expect(made.link.status.state).toBe('live')
    await made.end()
  })
})

describe('no message for as long as the adapter says', () => {
  it.each([
    [undefined, 30_000, 30_000],
    [60_000, 30_000, 60_000],
    [20_000, 30_000, 20_000],
  ])('with %s ms of the user and %i ms of the adapter: %i ms', async (deafMs, payloadMs, counts) => {
    const made = rig({ heartbeat: deafMs === undefined ? {} : { deafMs } })
    await made.live()
    made.network.current!.frame({ op: 'lively', payloadMs })
    await made.clock.advance(counts - 50)
    expect(made.link.status.state).toBe('live')
    await made.clock.advance(10_000)
    expect(made.link.status.fault?.detail).toBe(`no message for ${counts} ms`)
    await made.end()
  })
})

describe('an account that the adapter reports', () => {
  it('is left to the adapter: a message does not clear it', async () => {
    const made = await deafened(20_000)
    tell(made, 'offline')
    await made.clock.advance(60_000)
    tell(made, 'news')
    expect(made.link.status).toMatchObject({ state: 'degraded.impaired', fault: { code: 'account-offline' } })
    await made.clock.advance(60_000)
    tell(made, 'online')
    expect(made.link.status.state).toBe('live')
    // nobody could have written to it meanwhile
    await made.clock.advance(19_000)
    expect(made.link.status.state).toBe('live')
    await made.end()
  })

  it('takes the place of deafness', async () => {
    const made = await deafened(20_000)
    await made.clock.advance(30_000)
    tell(made, 'offline')
    expect(made.link.status.fault?.code).toBe('account-offline')
    tell(made, 'news')
    expect(made.link.status).toMatchObject({ state: 'degraded.impaired', fault: { code: 'account-offline' } })
    await made.end()
  })

  it('that is well as ever does not end deafness', async () => {
    const made = await deafened(20_000)
    await made.clock.advance(30_000)
    tell(made, 'online')
    expect(made.link.status).toMatchObject({ state: 'degraded.impaired', fault: { code: 'deaf' } })
    await made.end()
  })
})

describe('a peer that announced its beats', () => {
  it('R42 and sends none for three of them, though it answers probes: impaired until it beats', async () => {
    const { clock, link, network, beat, end } = await onebotRig()
    await clock.advance(15_000)
    expect(link.status.state).toBe('live')
    await clock.advance(1_100)
    expect(link.status).toMatchObject({ state: 'degraded.impaired', fault: { code: 'deaf' } })
    expect(link.status.fault?.detail).toContain('announced one every 5000 ms')
    // what a probe brings back is no beat, whatever it says of the account
    await clock.advance(60_000)
    expect(link.status.state).toBe('degraded.impaired')
    beat()
    expect(link.status.state).toBe('live')
    expect(network.transports).toHaveLength(1)
    await end()
  })

  it('and sends messages instead, is heard', async () => {
    const { clock, link, say, end } = await onebotRig()
    for (let n = 0; n < 50; n++) {
      await clock.advance(14_000)
      say()
    }
    expect(link.status.state).toBe('live')
    expect(way({ link })).toEqual(live)
    await end()
  })

  it('is deaf to messages although it beats, and stays so while it beats', async () => {
    const { clock, link, beat, say, end } = await onebotRig({ heartbeat: { deafMs: 30_000 } })
    for (let n = 0; n < 7; n++) {
      await clock.advance(5_000)
      beat()
    }
    await clock.advance(0)
    expect(link.status).toMatchObject({ state: 'degraded.impaired', fault: { detail: 'no message for 30000 ms' } })
    const before = link.recording.total
    beat()
    expect(link.status.state).toBe('degraded.impaired')
    expect(link.recording.total).toBe(before)
    say()
    expect(link.status.state).toBe('live')
    await end()
  })

  it('beats again when messages have been missing for too long: impaired still, for the other reason', async () => {
    const { clock, link, beat, end } = await onebotRig({ heartbeat: { deafMs: 40_000 } })
    await clock.advance(50_000)
    expect(link.status.fault?.detail).toContain('announced one every')
    const before = link.recording.total
    beat()
    expect(link.status).toMatchObject({ state: 'degraded.impaired', fault: { detail: 'no message for 40000 ms' } })
    expect(link.recording.total).toBe(before + 1)
    await end()
  })
})

describe('when nothing is to be watched', () => {
  it('there is no timer of it, and links that beat without messages are left alone', async () => {
    const watched = await deafened(3_600_000)
    const made = rig()
    await made.live()
    expect(watched.clock.pending - made.clock.pending).toBe(1)
    await made.clock.advance(86_400_000)
    expect(way(made)).toEqual(live)
    await made.end()
    await watched.end()
  })
})
