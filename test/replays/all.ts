/** The incidents that can be replayed; `npm start -- incidents` plays them. */
import { lagrange } from './lagrange.ts'
import type { Replay } from './replay.ts'

export const replays: readonly Replay[] = [lagrange]
