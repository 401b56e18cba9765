/** What a person reads of a lease: a line when this process gets it, one when it loses it and why, and one when its store fails. */
import { sentence } from '../error.ts'
import type { Language } from '../explain.ts'
import type { LeaseStatus } from '../lease.ts'
import type { Line } from '../outage/outage-log.ts'

const WORDS = {
  en: {
    got: (term: number) => `this process has it now (term ${term})`,
    given: 'handed over',
    cut: 'cut off here, because ',
    unmade: 'left to the other processes, because ',
    storeFails: 'nobody can be asked who has it, because ',
    storeIsBack: 'the lease store answers again',
    colon: ': ',
  },
  zh: {
    got: (term: number) => `现由本进程持有（第 ${term} 任）`,
    given: '已移交',
    cut: '本进程已切断连接，原因：',
    unmade: '让给其他进程，原因：',
    storeFails: '无法得知由谁持有，原因：',
    storeIsBack: '租约存储已恢复应答',
    colon: '：',
  },
}

const isOwned = ({ state }: LeaseStatus): boolean => state === 'serving' || state === 'yielding' || state === 'closing'

/** Told of every status in turn, gives the line that it is worth, if it is worth one. */
export const leaseLog = (language: Language): ((status: LeaseStatus) => Line | undefined) => {
  const words = WORDS[language]
  let before: LeaseStatus | undefined
  let isFailing = false
  return (status) => {
    const wasOwned = before !== undefined && isOwned(before)
    before = status
    const { id, state, fault, term } = status
    const line = (level: Line['level'], text: string): Line => ({ level, text: `${id}${words.colon}${text}` })
    if (isOwned(status) && !wasOwned) {
      isFailing = false
      return line('info', words.got(term ?? 0))
    }
    if (wasOwned && !isOwned(status)) {
      if (!fault) return line('info', words.given)
      return line('warn', (state === 'aside' ? words.unmade : words.cut) + sentence(fault, language))
    }
    // who lost a race has been answered
    if (state === 'backoff' && fault && fault.code !== 'lease-taken' && !isFailing) {
      isFailing = true
      return line('warn', words.storeFails + sentence(fault, language))
    }
    if (state !== 'standby' || !isFailing) return undefined
    isFailing = false
    return line('info', words.storeIsBack)
  }
}
