import { defineConfig } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

/**
 * The files that take longest, beginning with the longest: one of them that begins last leaves the other cores with nothing to
 * do. The one that runs alone comes before all others, which then go on in the processes that they have begun in.
 */
const LONG = [
  'sdk/verify/flips',
  ...['anchor-service/anchor/schedules', 'anchor-service/audit/insider', 'anchor-service/retention', 'web/page'],
  ...['anchor-service/deploy/container', 'examples/frameworks', 'anchor-service/process', 'gateway/mcp/conformance'],
  ...['scripts/start', 'outside/outside', 'docs/tutorial', 'sdk/cli/cli', 'web/console', 'crash/crash'],
  ...['anchor-service/http/export', 'gateway/changes/changes', 'anchor-service/ledger/head-memory', 'sdk/client/kill'],
  ...['anchor-service/ledger/index/reindex', 'gateway/kill', 'sdk/audit/answers', 'anchor-service/anchor/storm'],
  ...['sdk/cli/project', 'anchor-service/audit/audit', 'sdk/cli/ledger', 'sdk/cli/run', 'scripts/tarballs'],
  ...['anchor-service/audit/processes', 'anchor-service/clocks', 'anchor-service/commands/reindex-killed'],
  ...['web/language', 'web/bundles', 'web/shares', 'web/vectors', 'web/evidence', 'examples/examples'],
  ...['anchor-service/http/guards', 'anchor-service/http/bundles', 'anchor-service/intake/read-batch'],
  ...['anchor-service/erasure', 'anchor-service/hostile', 'anchor-service/commands/contracts', 'contracts/RFC9162'],
  ...['anchor-service/http/fuzz', 'anchor-service/ledger/index/runs', 'anchor-service/ledger/index/indexing'],
  ...['anchor-service/anchor/nodes', 'sdk/bundle/bundle', 'crash/database-disk-full', 'sdk/client/spool'],
  ...['sdk/cli/hostile', 'examples/senders', 'scripts/node24', 'anchor-service/ledger/read/costs'],
  ...['sdk/cli/replay', 'examples/python', 'gateway/postgres/kill', 'anchor-service/anchor/service'],
  ...['anchor-service/second-person', 'sdk/audit/threads', 'anchor-service/ledger/append-only'],
  ...['contracts/AnchorLog', 'gateway/postgres/refusals'],
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
          exclude: [ALONE, ...LEFT_OUT, 'test/contracts/*.t.sol', '**/node_modules/**'],
          isolate: false,
        },
      },
      { test: { ...shared, name: 'alone', include: [ALONE] } },
    ],
  },
})
