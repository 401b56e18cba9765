/** `holdfast/etcd`: the adapter, and a prefix of etcd as the source of endpoints for other adapters. */
import { Observable, shareReplay } from 'rxjs'
import type { Target, Targets } from './adapter/adapter.ts'
import { type EtcdEntry, type EtcdEvent, type EtcdOptions, etcd } from './adapter/etcd.ts'
import { parkedError } from './caller.ts'
import { textOf } from './error.ts'
import { connect } from './link.ts'
import type { LinkOptions } from './options.ts'

export { type EtcdEntry, type EtcdEvent, type EtcdOptions, etcd }

export interface EtcdTargetsOptions extends Omit<EtcdOptions, 'register' | 'watch'> {
  readonly prefix: string
  /** What to dial for an entry; undefined leaves it out. So does throwing, with a warning of the process. */
  toTarget(entry: EtcdEntry): Target | undefined
}

/**
 * The targets that etcd knows under a prefix, in the order of their keys, and again after each change; an empty list where
 * there is none. While etcd cannot be reached nothing is told, so what was known stays. One link to etcd serves all who
 * listen, for as long as somebody does. Errors with HoldfastError `parked` if that link needs a person.
 */
export const etcdTargets = (
  { prefix, toTarget, ...where }: EtcdTargetsOptions,
  options: LinkOptions = {},
): Observable<Targets> => {
  const adapter = etcd({ ...where, watch: { prefix } })
  return new Observable<Targets>((subscriber) => {
    const link = connect(adapter, options)
    const known = new Map<string, EtcdEntry>()
    subscriber.add(() => void link.stop({ drainMs: 0 }))
    subscriber.add(
      link.inbound$.subscribe((event) => {
        note(known, event)
        const targets = [...known.values()].sort(byKey).map((entry) => attempt(toTarget, entry))
        subscriber.next(targets.filter((target) => target !== undefined))
      }),
    )
    subscriber.add(
      link.state$.subscribe(({ state, fault }) => {
        if (state === 'parked') subscriber.error(parkedError(link.id, fault))
      }),
    )
  }).pipe(shareReplay({ bufferSize: 1, refCount: true }))
}

const note = (known: Map<string, EtcdEntry>, event: EtcdEvent): void => {
  if (event.type === 'list') {
    known.clear()
    for (const entry of event.entries) known.set(entry.key, entry)
  } else if (event.type === 'delete') known.delete(event.key)
  else known.set(event.key, event)
}

const byKey = (a: EtcdEntry, b: EtcdEntry): number => (a.key < b.key ? -1 : 1)

const attempt = (toTarget: EtcdTargetsOptions['toTarget'], entry: EtcdEntry): Target | undefined => {
  try {
    return toTarget(entry)
  } catch (error) {
    process.emitWarning(`etcdTargets() leaves ${entry.key} out: ${textOf(error)}`, 'HoldfastWarning')
    return undefined
  }
}
