/** How many runs, drawn from which seed: HF_RUNS, HF_SEED and HF_PATH say so, else the test. And what is needed of one. */

/** For fast-check, and what of it a story must name so that the run can be had again. */
export const askedRuns = ({ runs, seed: own }: { runs: number; seed: number }) => {
  const runsAsked = Number(process.env.HF_RUNS ?? runs)
  const seed = Number(process.env.HF_SEED ?? own)
  const path = process.env.HF_PATH
  return {
    runsAsked,
    seed,
    path,
    /** Of one run, or of a few, nobody can ask that they saw everything. */
    isWhole: path === undefined && runsAsked >= runs,
    parameters: { seed, ...(path === undefined ? { numRuns: runsAsked } : { path, numRuns: 1 }) },
  }
}

/** Leaves out, from the end, every item without which it still breaks. */
export const withoutNeedless = async <T>(items: readonly T[], breaks: (kept: readonly T[]) => Promise<boolean>) => {
  let kept = items
  for (let i = items.length - 1; i >= 0; i--) {
    const without = kept.toSpliced(i, 1)
    if (await breaks(without)) kept = without
  }
  return kept
}
