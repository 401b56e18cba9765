import { defineConfig, type UserConfig } from 'tsdown'

const shared: UserConfig = { platform: 'node', target: 'node20.19', sourcemap: true, fixedExtension: true }

const library: UserConfig = {
  ...shared,
  dts: true,
  // Without a file of its own the bundler's runtime lands in index.cjs, and files that index.cjs loads ask it for that in
  // turn: the circle breaks require() of the subpaths.
  outputOptions: { codeSplitting: { groups: [{ name: 'runtime', test: /rolldown.runtime/ }] } },
}

const entry = {
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
}

/** Nobody imports these. They are made of the same files as the library beside them. */
const programs = { cli: 'src/cli/cli.ts', 'lab-peer': 'src/cli/lab/peer.ts' }

export default defineConfig([
  { ...library, entry: { ...entry, ...programs }, format: 'esm', clean: true },
  { ...library, entry, format: 'cjs', clean: false },
  // Built apart, so that the types of the other entries share no file with the one that mentions xstate.
  { ...library, entry: { machines: 'machines/index.ts' }, format: ['esm', 'cjs'], clean: false },
])
