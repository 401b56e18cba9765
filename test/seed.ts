/**
 * Properties are drawn from one seed, so that a run of the tests says the same twice; `HF_SEED=… npm test` draws others.
 * A property that fails prints its seed, and HF_SEED replays it.
 */
import fc from 'fast-check'

fc.configureGlobal({ seed: Number(process.env.HF_SEED ?? 20_261_121) })
