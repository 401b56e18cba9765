/** The incidents that can be replayed; `npm start -- incidents` plays them. */
import { koishi } from './koishi.ts'
import { lagrange } from './lagrange.ts'
import { maimbot } from './maimbot.ts'
import { openim } from './openim.ts'
import type { Replay } from './replay.ts'
import { wechatbot } from './wechatbot.ts'

export const replays: readonly Replay[] = [koishi, maimbot, lagrange, wechatbot, openim]
