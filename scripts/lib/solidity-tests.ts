// Runs the Solidity tests and tells the parent process how many there were: Hardhat's own report is for people.
import hre from 'hardhat'

type Status = 'Success' | 'Failure' | 'Skipped'
interface SuiteResult {
  testResults: { status: Status }[]
}

// `noCompile`: the tests' own compilation has the contracts in it, with the same settings.
const result = await hre.tasks.getTask(['test', 'solidity']).run({ noCompile: true })
const { suiteResults } = (result.success ? result.value : result.error) as { suiteResults: SuiteResult[] }
const statuses = suiteResults.flatMap(({ testResults }) => testResults.map(({ status }) => status))
const total = (status: Status) => statuses.filter((each) => each === status).length

process.send?.({ passed: total('Success'), failed: total('Failure'), skipped: total('Skipped') })
process.exitCode = result.success ? 0 : 1
process.disconnect?.()
