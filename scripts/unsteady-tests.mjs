/** A reporter for vitest: names the tests that passed at their second attempt only. */
export default class UnsteadyTests {
  #names = []

  onTestCaseResult(test) {
    if (test.diagnostic()?.flaky) this.#names.push(`${test.module.relativeModuleId}: ${test.fullName}`)
  }

  onTestRunEnd() {
    for (const name of this.#names) console.log(`passed at its second attempt: ${name}`)
  }
}
