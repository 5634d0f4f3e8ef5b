import { defineConfig } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

/** Files that take more than ten seconds; one of them that begins last leaves the other cores with nothing to do. */
const LONG = [
  ...['web/page', 'scripts/start', 'crash/crash', 'web/console', 'web/vectors', 'web/evidence', 'web/shares'],
  ...['outside/outside', 'scripts/tarballs', 'contracts/RFC9162', 'contracts/AnchorLog', 'crash/database-disk-full'],
  ...['anchor-service/deploy/container', 'anchor-service/audit/insider', 'anchor-service/process'],
  ...['anchor-service/audit/audit'],
  ...['anchor-service/anchor/storm', 'anchor-service/audit/processes'],
].map((name) => `/test/${name}.test.ts`)

/** Vitest would begin with the largest file, or with the longest of an earlier run, of which a fresh checkout knows none. */
class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const place = ({ moduleId }: TestSpecification) => {
      const at = LONG.findIndex((name) => moduleId.endsWith(name))
      return at === -1 ? LONG.length : at
    }
    return (await super.sort(files)).sort((a, b) => place(a) - place(b))
  }
}

const shared = {
  testTimeout: 30_000,
  hookTimeout: 60_000,
  // A second, the default, says more about the machine than about what is waited for.
  expect: { poll: { timeout: 20_000 } },
}
const SERVICE = 'test/anchor-service/**/*.test.ts'
/** `.ci/run` says that it is left out, and why, on a machine where no image can be built. */
const LEFT_OUT = process.env.KILLICK_NO_MOUNTS === '1' ? ['test/anchor-service/deploy/container.test.ts'] : []

export default defineConfig({
  test: {
    // Once for all projects.
    globalSetup: ['test/support/global.ts'],
    sequence: { sequencer: LongestFirst },
    projects: [
      // A service takes more than a second to load. These files leave nothing behind in their process, so others may run in it.
      { test: { ...shared, name: 'anchor-service', include: [SERVICE], exclude: LEFT_OUT, isolate: false } },
      // The contract tests that run on Hardhat's own runner are started by scripts/test.ts.
      {
        test: {
          ...shared,
          name: 'others',
          include: ['test/**/*.test.ts'],
          exclude: [SERVICE, 'test/contracts/*.t.sol'],
        },
      },
    ],
  },
})
