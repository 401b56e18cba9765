import { defineConfig, type UserConfig } from 'tsdown'

const shared: UserConfig = { platform: 'node', target: 'node20.19', sourcemap: true, fixedExtension: true }

const library: UserConfig = {
  ...shared,
  format: ['esm', 'cjs'],
  dts: true,
  // Without a file of its own the bundler's runtime lands in index.cjs, and files that index.cjs loads ask it for that in
  // turn: the circle breaks require() of the subpaths.
  outputOptions: { codeSplitting: { groups: [{ name: 'runtime', test: /rolldown.runtime/ }] } },
}

export default defineConfig([
  {
    ...library,
    entry: {
      index: 'src/index.ts',
      adapter: 'src/adapter/adapter.ts',
      onebot: 'src/adapter/onebot.ts',
      satori: 'src/adapter/satori.ts',
      listen: 'src/listen/listener.ts',
      inspect: 'src/observe/inspect/index.ts',
      discord: 'src/adapter/discord.ts',
      qq: 'src/adapter/qq.ts',
      maim: 'src/adapter/maim.ts',
      telegram: 'src/adapter/telegram.ts',
      client: 'src/adapter/client.ts',
      wechat: 'src/adapter/wechat.ts',
      etcd: 'src/etcd.ts',
      lease: 'src/lease.ts',
      testing: 'src/testing/index.ts',
      stately: 'src/observe/stately.ts',
    },
    clean: true,
  },
  // Built apart, so that the types of the other entries share no file with the one that mentions xstate.
  { ...library, entry: { machines: 'machines/index.ts' }, clean: false },
  {
    ...shared,
    entry: { cli: 'src/cli/cli.ts', 'lab-peer': 'src/cli/lab/peer.ts' },
    format: ['esm'],
    dts: false,
    clean: false,
  },
])
