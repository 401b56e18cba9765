/** Reads what a viewer says. Anything that the protocol does not know is malformed: there is one kind of viewer. */
import { type Command, MESSAGE_BYTES_MAX, type ViewerMessage } from './protocol.ts'

const COMMANDS: readonly unknown[] = ['retry', 'hold', 'resume', 'stop', 'fault'] satisfies Command[]
const TEXT_MAX = 256

/** Undefined for what is malformed. */
export const hear = (text: string): ViewerMessage | undefined => {
  const message = readObject(text)
  switch (message?.t) {
    case 'auth':
      return isText(message.token) ? { t: 'auth', token: message.token } : undefined
    case 'sub':
      return isList(message.indexes) ? { t: 'sub', indexes: message.indexes } : undefined
    case 'cmd':
      return readOrder(message)
    default:
      return undefined
  }
}

const readOrder = ({ n, cmd, index, fault }: Record<string, unknown>): ViewerMessage | undefined => {
  if (!isIndex(n) || !COMMANDS.includes(cmd)) return undefined
  const order = { t: 'cmd', n, cmd: cmd as Command } as const
  if (cmd === 'fault') return isText(fault) ? { ...order, fault } : undefined
  return isIndex(index) ? { ...order, index } : undefined
}

const readObject = (text: string): Record<string, unknown> | undefined => {
  // a server of somebody else's may let more through
  if (text.length > MESSAGE_BYTES_MAX) return undefined
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}

const isText = (value: unknown): value is string => typeof value === 'string' && value.length <= TEXT_MAX
const isIndex = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0
const isList = (value: unknown): value is number[] => Array.isArray(value) && value.every(isIndex)
