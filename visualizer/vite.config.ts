/** Builds the page into three files that need nothing else: index.html, page.js and page.css. */
import { readFileSync } from 'node:fs'
import { defineConfig, type Plugin } from 'vite'
import { linkMachine, stateNames } from '../machines/link.ts'
import { edgeId, leafOf } from '../src/diagram/layout.ts'
import { linkLayout } from '../src/diagram/link-layout.ts'
import { chartOf, edgesOf, holdOf } from '../src/diagram/model.ts'
import { svgOf } from '../src/diagram/svg.ts'
import { eventName } from '../src/observe/recorder.ts'

const here = import.meta.dirname

/**
 * The drawing of docs/link.svg, made from the machine again, without its style: the page's own style sheet has both
 * colour schemes, and the inspector's content policy allows no other.
 */
const chart = (): Plugin => {
  const model = chartOf(linkMachine)
  const leaves = model.states.filter(({ initial }) => initial === null)
  const edges = edgesOf(model).map(({ from, to, arrows }) => ({
    id: edgeId(from || model.id, to),
    from: leafOf(from || model.id),
    to: leafOf(to),
    events: [...new Set(arrows.map(({ event }) => eventName(event)))],
  }))
  const around = Object.fromEntries(
    leaves.map(({ path, name }) => [name, [...path.split('.').reverse(), model.id]] as const),
  )
  const deadlines = Object.fromEntries(
    leaves.flatMap((state) => {
      const hold = holdOf(model, state)
      const name = stateNames.find((each) => leafOf(each) === state.name)
      return name && hold.kind === 'deadline' && hold.after.ms !== null ? [[name, hold.after.ms]] : []
    }),
  )
  /** Lines that can be taken from a state: those of the frames around it too, unless something inside keeps the event. */
  const nextOf = (path: string): number[] => {
    const parts = path.split('.')
    const frames = [...parts.map((_, i) => parts.slice(0, parts.length - i).join('.')), '']
    const kept = new Set<string>()
    return frames.flatMap((frame) => {
      const open = edgesOf(model).flatMap(({ from, arrows }, index) =>
        from === frame && arrows.some(({ event }) => !kept.has(event)) ? [index] : [],
      )
      const own = frame === '' ? model : model.states.find((state) => state.path === frame)!
      for (const { event, guard } of own.arrows) if (guard === null) kept.add(event)
      return open
    })
  }
  const next = Object.fromEntries(leaves.map(({ path, name, final }) => [name, final ? [] : nextOf(path)] as const))
  const svg = svgOf(model, linkLayout).replace(/<style>[\s\S]*?<\/style>\n/, '')
  return {
    name: 'chart',
    resolveId: (id) => (id === 'virtual:chart' ? '\0chart' : undefined),
    load: (id) =>
      id === '\0chart'
        ? Object.entries({ svg, edges, around, next, deadlines })
            .map(([name, value]) => `export const ${name} = ${JSON.stringify(value)}`)
            .join('\n')
        : undefined,
  }
}

const html = (): Plugin => ({
  name: 'html',
  generateBundle() {
    this.emitFile({ type: 'asset', fileName: 'index.html', source: readFileSync(`${here}/index.html`, 'utf8') })
  },
})

export default defineConfig({
  root: here,
  logLevel: 'warn',
  publicDir: false,
  plugins: [chart(), html()],
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  define: { 'process.env.NODE_ENV': '"production"' },
  build: {
    outDir: `${here}/../dist/visualizer`,
    emptyOutDir: true,
    // A page from disk may load no modules: so it is one plain script.
    lib: {
      entry: `${here}/main.tsx`,
      formats: ['iife'],
      name: 'holdfastPage',
      fileName: () => 'page.js',
      cssFileName: 'page',
    },
    minify: true,
    reportCompressedSize: false,
  },
})
