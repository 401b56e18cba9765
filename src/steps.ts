/**
 * How the shell learns what a chart does: the one place that is hooked onto XState for it. XState itself tells of events by
 * its inspection alone, which makes an object of everything that happens and costs more than all that a link makes of it;
 * so an event is read on its way in, and what it led to is read from the snapshot that follows it.
 */
import { type Actor, type ActorOptions, type AnyStateMachine, createActor, type SnapshotFrom } from 'xstate'

/** An event that the chart was given, and the snapshot that it led to: the one before, if the chart did not name it. */
export type Stepped<M extends AnyStateMachine> = (event: { readonly type: string }, snapshot: SnapshotFrom<M>) => void

/** An actor that tells of its steps; it still has to be started. An actor takes one event at a time. */
export const steppingActor = <M extends AnyStateMachine>(
  machine: M,
  options: ActorOptions<M>,
  stepped: Stepped<M>,
): Actor<M> => {
  let event: { readonly type: string } = { type: 'xstate.init' }
  const transition: M['transition'] = (snapshot, next, scope) => {
    event = next
    return machine.transition(snapshot, next, scope)
  }
  const telling: M = Object.assign(Object.create(machine), { transition })
  const actor = createActor(telling, options as never) as Actor<M>
  actor.subscribe((snapshot) => stepped(event, snapshot))
  return actor
}
