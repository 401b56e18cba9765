/** Reads the body of an answer, whole or as it comes. No part of it that is kept is bigger than the bound. */
import { createParser } from 'eventsource-parser'

export class TooBig extends Error {}

type Body = AsyncIterable<Uint8Array>

const tooBig = (bytesMax: number): TooBig => new TooBig(`an answer of more than ${bytesMax} bytes`)

export const readWhole = async (body: Body, bytesMax: number): Promise<string> => {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of body) {
    bytes += chunk.byteLength
    if (bytes > bytesMax) throw tooBig(bytesMax)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

export interface SentEvent {
  readonly type: string
  readonly id?: string
  readonly data: string
}

/** Server-sent events (WHATWG HTML, section 9.2). `heard` is called for every chunk: a comment is a sign of life too. */
export const readEvents = async (
  body: Body,
  bytesMax: number,
  heard: () => void,
  tell: (event: SentEvent) => void,
): Promise<void> => {
  let bytes = 0
  const parser = createParser({
    onEvent: ({ event = 'message', id, data }) => {
      bytes = 0
      tell({ type: event, data, ...(id !== undefined && { id }) })
    },
    onComment: () => {
      bytes = 0
    },
  })
  const decoder = new TextDecoder()
  for await (const chunk of body) {
    bytes += chunk.byteLength
    parser.feed(decoder.decode(chunk, { stream: true }))
    if (bytes > bytesMax) throw tooBig(bytesMax)
    heard()
  }
}

export const readLines = async (
  body: Body,
  bytesMax: number,
  heard: () => void,
  tell: (line: string) => void,
): Promise<void> => {
  const decoder = new TextDecoder()
  let rest = ''
  for await (const chunk of body) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) if (line.trim() !== '') tell(line)
    if (rest.length > bytesMax) throw tooBig(bytesMax)
    heard()
  }
  if (rest.trim() !== '') tell(rest)
}
