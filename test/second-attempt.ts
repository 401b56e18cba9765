/** With HF_SECOND_ATTEMPT=1 no first attempt is good enough, which shows that a second one finds nothing of the first in its way. */
import { afterEach } from 'vitest'

if (process.env.HF_SECOND_ATTEMPT) {
  afterEach(({ task }) => {
    if (task.result?.retryCount === 0) throw new Error('the first attempt is refused: HF_SECOND_ATTEMPT')
  })
}
