import { defineConfig } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

/**
 * The files that take longest, beginning with the longest: one of them that begins last leaves the other cores with nothing to
 * do. The one that runs alone comes before all others, which then go on in the processes that they have begun in.
 */
const LONG = [
  'sdk/verify/flips',
  ...['anchor-service/audit/insider', 'web/page', 'scripts/start', 'examples/frameworks', 'docs/tutorial'],
  ...['gateway/changes/changes', 'anchor-service/deploy/container', 'anchor-service/process', 'web/console'],
  ...[
    'crash/crash',
    'anchor-service/ledger/head-memory',
    'outside/outside',
    'web/language',
    'anchor-service/audit/audit',
  ],
  ...[
    'anchor-service/ledger/index/runs',
    'anchor-service/anchor/storm',
    'sdk/cli/cli',
    'scripts/tarballs',
    'web/bundles',
  ],
  ...['sdk/cli/ledger', 'anchor-service/ledger/read/costs', 'anchor-service/http/bundles'],
  ...['anchor-service/audit/processes', 'anchor-service/anchor/schedules', 'anchor-service/ledger/index/indexing'],
  ...['web/shares', 'anchor-service/http/export', 'web/vectors', 'examples/examples', 'anchor-service/erasure'],
  ...['anchor-service/hostile', 'sdk/cli/run', 'sdk/cli/hostile', 'examples/senders', 'anchor-service/clocks'],
  ...[
    'gateway/mcp/conformance',
    'sdk/audit/threads',
    'anchor-service/second-person',
    'anchor-service/http/guards',
    'anchor-service/ledger/index/reindex',
    'web/evidence',
    'sdk/audit/answers',
  ],
  ...['anchor-service/anchor/nodes', 'sdk/bundle/bundle', 'examples/python', 'gateway/postgres/kill'],
  ...['anchor-service/anchor/service', 'sdk/client/spool', 'anchor-service/commands/reindex-killed'],
  ...['anchor-service/ledger/append-only', 'crash/database-disk-full', 'contracts/RFC9162', 'contracts/AnchorLog'],
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
  // They end what hangs. How long a test takes depends on the machine: a sync of its disk may take a hundred times as long as here.
  testTimeout: 60_000,
  hookTimeout: 120_000,
  // A second, the default, says more about the machine than about what is waited for.
  expect: { poll: { timeout: 20_000 } },
  // What lives for one test only is collected less often: docs/decisions/0010-more-test-workers-than-cores.md.
  execArgv: ['--max-semi-space-size=64'],
}
/** Puts other modules in the place of some, which no other file of its process may meet. */
const ALONE = 'test/sdk/verify/flips.test.ts'
/** `.ci/run` says that it is left out, and why, on a machine where no image can be built. */
const LEFT_OUT = process.env.KILLICK_NO_MOUNTS === '1' ? ['test/anchor-service/deploy/container.test.ts'] : []

export default defineConfig({
  test: {
    // Once for all projects.
    globalSetup: ['test/support/global.ts'],
    sequence: { sequencer: LongestFirst },
    projects: [
      // To load what is tested takes up to a second, so files run one after the other in one process; each leaves nothing behind
      // there. One project, because a process is not handed from one to another.
      {
        test: {
          ...shared,
          name: 'together',
          include: ['test/**/*.test.ts'],
          // The contract tests that run on Hardhat's own runner are started by scripts/test.ts.
          exclude: [ALONE, ...LEFT_OUT, 'test/contracts/*.t.sol'],
          isolate: false,
        },
      },
      { test: { ...shared, name: 'alone', include: [ALONE] } },
    ],
  },
})
