import { defineConfig } from 'tsdown'

const shared = { platform: 'node', target: 'node20.19', sourcemap: true, fixedExtension: true } as const

export default defineConfig([
  {
    ...shared,
    entry: {
      index: 'src/index.ts',
      adapter: 'src/adapter/adapter.ts',
      onebot: 'src/adapter/onebot.ts',
      satori: 'src/adapter/satori.ts',
      machines: 'machines/index.ts',
      testing: 'src/testing/index.ts',
    },
    format: ['esm', 'cjs'],
    dts: true,
    clean: true,
  },
  {
    ...shared,
    entry: { cli: 'src/cli/cli.ts', 'lab-peer': 'src/cli/lab/peer.ts' },
    format: ['esm'],
    dts: false,
    clean: false,
  },
])
