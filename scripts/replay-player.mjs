/** Plays one incident, for replay.mjs: both sides, one after the other. When that one is gone, its whole group ends. */
const [bundle, incident] = process.argv.slice(2)
process.on('disconnect', () => process.kill(-process.pid, 'SIGKILL'))

const tell = (message) => new Promise((resolve) => process.send(message, resolve))

try {
  const { replays } = await import(bundle)
  const replay = replays.find((each) => each.incident === incident)
  const naive = await replay.naive()
  const holdfast = await replay.holdfast()
  await tell({ naive, holdfast })
} catch (error) {
  await tell({ error: String(error?.stack ?? error) })
}
process.exit()
