/** What the owner of a link is told without asking: lines for a log, and a call when a person is needed. */
import { type Observable, Subject } from 'rxjs'
import type { LinkStatus } from './explain.ts'
import type { ListenerErrors } from './guarded.ts'
import type { CheckedOptions } from './options.ts'
import type { OutageWatch } from './outage/outage.ts'
import { type Line, OutageLog } from './outage/outage-log.ts'
import { parkedNotice } from './outage/parked.ts'

/** The link as it is told of. */
export interface Subjects {
  readonly status$: Observable<LinkStatus>
  status(): LinkStatus
  readonly outages: OutageWatch
  resume(): void
}

/** Until the link has stopped. Nothing that the owner's functions do comes back to the link. */
export const tellOwner = (options: CheckedOptions, link: Subjects, errors: ListenerErrors): void => {
  if (options.logger) writeLog(options, options.logger, link, errors)
  if (options.onParked) callWhenParked(options, options.onParked, link, errors)
}

const writeLog = (
  { id, clock, logLanguage }: CheckedOptions,
  logger: NonNullable<CheckedOptions['logger']>,
  { status, outages }: Subjects,
  errors: ListenerErrors,
): void => {
  const lines$ = new Subject<Line>()
  errors.guard(lines$, 'the option "logger"').subscribe(({ level, text }) => logger[level](text))
  const log = new OutageLog({
    id,
    clock,
    language: logLanguage,
    status,
    outage: () => outages.present,
    write: (line) => lines$.next(line),
  })
  outages.notices$.subscribe({ next: (notice) => log.notice(notice), complete: () => log.close() })
}

const callWhenParked = (
  { clock }: CheckedOptions,
  onParked: NonNullable<CheckedOptions['onParked']>,
  { status$, resume }: Subjects,
  errors: ListenerErrors,
): void => {
  status$.subscribe((status) => {
    const notice = parkedNotice(status, clock.wall(), resume)
    if (!notice) return
    // later, because a link may be parked before whoever made it has it in hand
    Promise.resolve(notice)
      .then(onParked)
      .catch((error) => errors.note(error, 'the option "onParked"'))
  })
}
