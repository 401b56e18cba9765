import { describe, expect, test } from 'vitest'
import { linkMachine } from '../../machines/link.ts'
import { builtIns } from '../../src/diagram/built-in.ts'
import { type Box, edgeId, nodeId, type Point } from '../../src/diagram/layout.ts'
import { linkLayout } from '../../src/diagram/link-layout.ts'
import { chartOf, edgesOf } from '../../src/diagram/model.ts'
import { svgOf } from '../../src/diagram/svg.ts'
import { rich } from './charts.ts'

const link = chartOf(linkMachine)
const svg = svgOf(link, linkLayout)
const ids = [...svg.matchAll(/ id="([ne]-[^"]+)"/g)].map(([, id]) => id!)

describe('the drawing of the link', () => {
  test('has one element for every state and every merged edge of the machine, and no other', () => {
    const nodes = link.states.map(({ path }) => nodeId(path))
    const edges = edgesOf(link).map(({ from, to }) => edgeId(from === '' ? link.id : from, to))
    expect([...ids].sort()).toEqual([...nodes, ...edges].sort())
    expect(new Set(ids).size).toBe(ids.length)
  })

  test('a state or an edge that nobody placed fails, by name', () => {
    const { parked: _, ...states } = linkLayout.states
    expect(() => svgOf(link, { ...linkLayout, states })).toThrow('no place for the state parked')
    const { 'attached>backoff': __, ...lines } = linkLayout.lines
    expect(() => svgOf(link, { ...linkLayout, lines })).toThrow('no place for the line attached>backoff')
    expect(() => svgOf(chartOf(rich), linkLayout)).toThrow('no place for')
  })

  test('a place for something that the machine does not have fails, by name', () => {
    const lines = { ...linkLayout.lines, 'parked>stopped': linkLayout.lines['parked>resolving']! }
    expect(() => svgOf(link, { ...linkLayout, lines })).toThrow('the chart does not have: parked>stopped')
    const frames = { ...linkLayout.frames, backoff: linkLayout.frames.attached! }
    expect(() => svgOf(link, { ...linkLayout, frames })).toThrow('the chart does not have: backoff')
  })

  test('follows the reader into the dark, and asks nobody for anything', () => {
    expect(svg).toContain('@media (prefers-color-scheme:dark)')
    expect(svg.replace('http://www.w3.org/2000/svg', '')).not.toMatch(/https?:|<script|@import|href=/)
  })

  test('each line says on hovering what it means', () => {
    expect(svg).toContain('connecting → backoff\nafter connectDeadline: the peer did not answer the connection in time')
  })
})

describe.each([...builtIns])('the drawing of the %s', (_name, { machine, layout }) => {
  const chart = chartOf(machine)
  const { states, frames, lines, width, height } = layout!
  const boxOf = (path: string) => states[path] ?? frames[path]!

  test('has every state within the frame that it belongs to, and all within the paper', () => {
    const paper = { x: 0, y: 0, width, height }
    for (const { path, parent } of chart.states) {
      const inner = boxOf(path)
      const outer = frames[parent] ?? paper
      expect(inner.x > outer.x && inner.x + inner.width < outer.x + outer.width, `${path} across`).toBe(true)
      expect(inner.y > outer.y && inner.y + inner.height < outer.y + outer.height, `${path} upright`).toBe(true)
    }
  })

  test('has lines that run level or upright and end at their states', () => {
    for (const [name, { points }] of Object.entries(lines)) {
      for (const [index, point] of points.slice(1).entries()) {
        expect(point.x === points[index]!.x || point.y === points[index]!.y, name).toBe(true)
      }
      const [from, to] = name.split('>') as [string, string]
      expect(onBorder(points[0]!, boxOf(from)), `${name} starts at ${from}`).toBe(true)
      expect(onBorder(points.at(-1)!, boxOf(to)), `${name} ends at ${to}`).toBe(true)
    }
  })
})

const onBorder = ({ x, y }: Point, box: Box): boolean => {
  const upright = (x === box.x || x === box.x + box.width) && y >= box.y && y <= box.y + box.height
  return upright || ((y === box.y || y === box.y + box.height) && x >= box.x && x <= box.x + box.width)
}
