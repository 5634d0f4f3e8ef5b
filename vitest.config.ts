import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/support/global.ts'],
    // The contract tests that run on Hardhat's own runner are started by scripts/test.ts.
    exclude: ['test/contracts/*.t.sol'],
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // A second, the default, says more about the machine than about what is waited for.
    expect: { poll: { timeout: 20_000 } },
  },
})
