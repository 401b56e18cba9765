/** Links to watch: a fleet, whose links come and go, or some that are there. */
import { Subscription } from 'rxjs'
import type { Fleet } from '../fleet.ts'
import type { Link } from '../link.ts'

export type Links = Iterable<Link> & Partial<Pick<Fleet, 'changes$'>>

/** Tells of each link that is there, and of those that come and go until it is unsubscribed. */
export const eachLink = (links: Links, added: (link: Link) => void, removed: (link: Link) => void): Subscription => {
  const changes = links.changes$?.subscribe(({ kind, link }) => (kind === 'added' ? added(link) : removed(link)))
  for (const link of links) added(link)
  return changes ?? new Subscription()
}
