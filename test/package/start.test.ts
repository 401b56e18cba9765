import { join } from 'node:path'
import { describe, expect, test } from 'vitest'

const path = join(import.meta.dirname, '../../scripts/command.mjs')
const { commandOf }: { commandOf: (args: readonly string[]) => string[] } = await import(path)

describe('what npm start asks of the command line', () => {
  test.each([
    ['', 'lab'],
    ['--once --json', 'lab --once --json'],
    ['lab --once', 'lab --once'],
    ['onebot ws://127.0.0.1:3001 --token-env NAME', 'hold onebot ws://127.0.0.1:3001 --token-env NAME'],
    ['satori http://127.0.0.1:5140', 'hold satori http://127.0.0.1:5140'],
    ['hold onebot ws://127.0.0.1:3001', 'hold onebot ws://127.0.0.1:3001'],
    ['help', 'help'],
    ['--help', '--help'],
    ['--version', '--version'],
    ['nonsense', 'nonsense'],
  ])('npm start -- %s', (given, expected) => {
    expect(commandOf(given.split(' ').filter((word) => word !== '')).join(' ')).toBe(expected)
  })
})
