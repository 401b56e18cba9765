/** The accounts behind one Satori server: each comes, goes and reconnects by itself, on the same socket. */
import { BehaviorSubject, type Observable } from 'rxjs'
import { textOf } from '../../error.ts'
import { guarded } from '../../guarded.ts'
import { asObject, type JsonObject } from '../json.ts'

/** In the order of the protocol's numbers. */
const STATUSES = ['offline', 'online', 'connect', 'disconnect', 'reconnect'] as const

export type SatoriLoginStatus = (typeof STATUSES)[number]

/** One account, as the server last told of it. */
export interface SatoriLogin {
  readonly platform: string | undefined
  readonly userId: string | undefined
  /** The server's number for it, in servers since protocol 1.2. */
  readonly sn: number | undefined
  readonly status: SatoriLoginStatus
  /** When the server says that it came to this: milliseconds since 1970. Null for what the welcome listed. */
  readonly since: number | null
}

/** More than any server has; a server that lists more is not believed. */
const LOGINS_MAX = 1_000

export class SatoriLogins {
  readonly #list$ = new BehaviorSubject<readonly SatoriLogin[]>([])
  readonly list$: Observable<readonly SatoriLogin[]>

  constructor() {
    this.list$ = guarded(this.#list$, (error) =>
      process.emitWarning(`A listener of logins$ threw ${textOf(error)}.`, 'HoldfastWarning'),
    )
  }

  get list(): readonly SatoriLogin[] {
    return this.#list$.value
  }

  /** The welcome lists all that there are. */
  replace(raw: unknown): void {
    let list: readonly SatoriLogin[] = []
    for (const each of Array.isArray(raw) ? raw : []) list = withLogin(list, asObject(each), null)
    this.#tell(list)
  }

  /** An event tells of one. */
  note(raw: JsonObject | undefined, at: unknown, isRemoved: boolean): void {
    const list = isRemoved
      ? this.list.filter((each) => !raw || !isSame(each, loginOf(raw, null)))
      : withLogin(this.list, raw, typeof at === 'number' ? at : null)
    this.#tell(list)
  }

  #tell(list: readonly SatoriLogin[]): void {
    if (list !== this.list) this.#list$.next(list)
  }
}

const withLogin = (
  list: readonly SatoriLogin[],
  raw: JsonObject | undefined,
  at: number | null,
): readonly SatoriLogin[] => {
  if (typeof raw?.status !== 'number') return list
  const login = loginOf(raw, at)
  const found = list.findIndex((each) => isSame(each, login))
  if (found < 0) return list.length < LOGINS_MAX ? [...list, login] : list
  // some servers leave out what has not changed
  const { platform = login.platform, userId = login.userId, sn = login.sn } = list[found]!
  return list.with(found, { ...login, platform, userId, sn })
}

const loginOf = (raw: JsonObject, since: number | null): SatoriLogin => ({
  platform: textIn(raw.platform),
  userId: textIn(asObject(raw.user)?.id) ?? textIn(raw.self_id),
  sn: typeof raw.sn === 'number' ? raw.sn : undefined,
  status: STATUSES[raw.status as number] ?? 'offline',
  since,
})

/** By the number, where both have one: an account that is not online yet may not know its own name. */
const isSame = (a: SatoriLogin, b: SatoriLogin): boolean =>
  a.sn !== undefined && b.sn !== undefined ? a.sn === b.sn : a.platform === b.platform && a.userId === b.userId

const textIn = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined)
