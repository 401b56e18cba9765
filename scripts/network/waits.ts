/** The waits between attempts: backoff, the governor, the session budget, and what cuts a wait short. */
import { breakerDeadlines, WINDOW_MAX } from '../../machines/breaker.ts'
import { deadlines, RETRY_AFTER_MAX_MS } from '../../machines/delay.ts'
import { duration } from '../../src/diagram/model.ts'
import { curveTable, waitTable } from '../curves.ts'
import type { Numbers } from '../numbers.ts'

const GOVERNOR = 'src/governor.ts'
const RUN = 'src/run.ts'
const BUDGET = 'src/budget.ts'
const BUDGET_STORE = 'src/budget-store.ts'

export const backoff = (numbers: Numbers): string => `## Backoff

How long a link waits depends on what its last dial cost the other side. There is no option for it.

${curveTable()}

Each dial of a curve doubles the wait up to the cap, and a hash of the link's id takes off a part of it, so that no two
links march in step. How many seconds a link waits after so many failed dials of a curve:

${waitTable()}

A fault uses up a dial of its own curve and forgives the cheaper curves only. Everything is forgiven after ${duration(deadlines.provenAfter)} in \`live\`
(\`deadlines.provenMs\`). Whoever is turned away before the transport is open (no answer, a refused upgrade) has cost no session, and waits
${numbers.show(RUN, 'TURNED_AWAY_MAX_MS')} at most, so that it is back half a minute after the peer. A delay that the peer asked for (\`Retry-After\`, up to ${duration(RETRY_AFTER_MAX_MS)}) is a minimum, plus up to 10 %. It cannot be
cut short, not even by \`retry()\`.`

export const governor = (numbers: Numbers): string => `## The governor

All links of one process that dial the same \`host:port\` share a governor. It has two means only: it makes a wait longer,
and it cuts a wait short by an invitation (\`dial.invited\`). There is no option for it. Whatever the links and the peer do,
it bounds:

${numbers.table([
  ['failed dials of one endpoint in a minute', GOVERNOR, 'FAILED_MAX'],
  ['of these kept for the recovery', GOVERNOR, 'KEPT_FOR_RECOVERY'],
  ['dials of one link that the peer accepts, in a minute', GOVERNOR, 'ACCEPTED_MAX'],
  ['invitations at once', GOVERNOR, 'INVITED_MAX'],
  ['"at once" means', GOVERNOR, 'INVITED_WITHIN_MS'],
])}

Why a link waits longer than its own backoff:

| what you see | why | until when |
| --- | --- | --- |
| The endpoint is down, and other links of this process want it too. | One link at a time, the **scout**, dials for all; each in turn, at the pace of the curves above. | A scout gets in, and then it is invited. |
| The endpoint is back. | The **ramp**: one link is invited, then up to twice as many under way with each that gets in, ${WINDOW_MAX} at most. A failure halves that. | Its turn. |
| Other links of this process are live there. | It waits its own backoff, and then for room among those who dial. | Its own wait, or a little longer. |
| There were many failed dials in the last minute. | The endpoint's budget is used up. | The oldest is a minute ago. |
| The peer let it in and dropped it, again and again. | Its own budget of accepted dials is used up. | The oldest is a minute ago. |

**\`nextDialAt\` of such a link is minutes away, and that is no bug.** It is the fallback: should no invitation ever come,
the link dials by itself, ${numbers.show(GOVERNOR, 'FALLBACK_MS')} after its own wait at the earliest, and no two links of one endpoint closer than
${numbers.show(GOVERNOR, 'FALLBACK_APART_MS')}. The invitation comes before.

A link that is alone at its endpoint dials by its own timer. \`connect()\`, \`resume()\` and \`retry()\` dial at once; what they
use up is missing to the others. The health of an endpoint is a chart, [breaker.md](breaker.md). A scout that is not heard
of is given up after ${duration(breakerDeadlines.probeDeadline)}, and a ramp in which nobody gets in after ${duration(breakerDeadlines.rampDeadline)}.`

export const budget = (numbers: Numbers): string => `## The session budget

Some platforms take a token away that starts too many sessions (Discord: 1,000 in a day). For these there is a budget, out
of which every start has to be reserved before: \`sessionBudget()\` of \`holdfast\`, which the adapters of
[Discord](adapters/discord.md#session-starts) and [QQ](adapters/qq.md) use. Neither OneBot nor Satori counts sessions.

- A day is any 24 hours. A part of it is held back, ${numbers.show(BUDGET, 'reserve')} unless told: the reserve, for what cannot be counted.
- Rate and day are kept in one file per bot, in \`$XDG_STATE_HOME/holdfast\` or \`~/.local/state/holdfast\`
  (\`%LOCALAPPDATA%\\holdfast\` on Windows), under a lock that the processes of a machine share. The file's name is a hash.
- If that file is damaged, starts come out of the reserve alone for 24 hours, evenly spread.
- What the peer says remains counts where it is stricter.
- If the file cannot be kept (\`store-failed\`), nothing is reserved and no session may be started.

${numbers.table([
  ['a process waits for the lock', BUDGET_STORE, 'LOCK_DEADLINE_MS'],
  ['an owner that cannot be judged loses it after', BUDGET_STORE, 'UNJUDGED_MS'],
  ['the greatest file that is read', BUDGET_STORE, 'FILE_BYTES_MAX'],
  ['sessions a day, at most', BUDGET, 'PER_DAY_MAX'],
])}`

export const hints = (numbers: Numbers): string => `## Sleep and changes of network

While a link runs, its process looks every ${numbers.show('src/awake.ts', 'everyMs')} whether it stood still for more than ${numbers.show('src/clock.ts', 'STALL_MS')} (the machine slept) and whether
its addresses are others than before. Both are hints:

| state | what a hint does |
| --- | --- |
| \`backoff\` | An invitation: the link dials now, if the governor lets it and the peer did not ask for the wait. |
| \`live\`, and every other with a transport | A probe now, if none is under way. |
| \`parked\` | Nothing. |

After a change of network, remembered winners, dead addresses and fresh DNS answers are forgotten too. A wrong hint costs
one probe. With a clock of your own (in tests) there are no hints.`
