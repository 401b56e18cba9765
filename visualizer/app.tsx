/** The page: the fleet on the left, the chosen link on the right. */
import { Chart, enlarged } from './chart.tsx'
import { Faults } from './faults.tsx'
import { Filters } from './filters.tsx'
import { Grid } from './grid.tsx'
import { Banner, Head } from './head.tsx'
import { Help } from './keys.tsx'
import { Log } from './log.tsx'
import { Replay } from './replay.tsx'
import { RoundTrip } from './roundtrip.tsx'
import { replaying } from './store.ts'
import { Timeline } from './timeline.tsx'
import { Why } from './why.tsx'
import { word } from './words.ts'

export const App = () => (
  <>
    <Head />
    <Banner />
    <Replay />
    <main class={enlarged.value ? 'enlarged' : ''}>
      {/* what happened is looked for along time */}
      {replaying.value && <Timeline />}
      <div class="column">
        <section aria-labelledby="fleet-title">
          <h2 id="fleet-title">{word('fleet')}</h2>
          <Filters />
          <Grid />
        </section>
        {!replaying.value && <Timeline />}
        <RoundTrip />
        <Faults />
      </div>
      <div class="column">
        <Why />
        <Chart />
        <Log />
      </div>
    </main>
    <Help />
  </>
)
