import { createRequire } from 'node:module'
import { defineConfig } from 'hardhat/config'

/**
 * The contract has no upgrade, so its bytes are a promise: anyone can compile these sources and must get the runtime code
 * whose hash verifiers pin. Hence every setting that reaches the bytes is written out, the compiler is the npm package that
 * the lockfile fixes (Hardhat downloads nothing), and solc's metadata trailer, which hashes comments, is left out.
 */
const solc = {
  version: '0.8.37',
  path: createRequire(import.meta.url).resolve('solc/soljson.js'),
  settings: {
    evmVersion: 'cancun',
    viaIR: true,
    optimizer: { enabled: true, runs: 1_000_000 },
    metadata: { bytecodeHash: 'none', appendCBOR: false },
  },
}

export default defineConfig({
  solidity: { ...solc, splitTestsCompilation: true },
  paths: { tests: { solidity: 'test/contracts' } },
  networks: {
    default: { type: 'edr-simulated', chainType: 'l1', hardfork: 'osaka' },
  },
  test: {
    solidity: {
      fuzz: { seed: '0x4b696c6c69636b', runs: process.env.CI ? 2_000 : 100 },
      invariant: { runs: process.env.CI ? 100 : 20, depth: 50, failOnRevert: true },
    },
  },
})
