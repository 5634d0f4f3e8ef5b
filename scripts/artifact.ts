/**
 * Writes the compiled contract where the service reads it, so that running Killick needs no compiler.
 *
 *     node scripts/artifact.ts            compile and write
 *     node scripts/artifact.ts --check    exit 1 if the committed file is not what the sources compile to
 */
import { readFile, writeFile } from 'node:fs/promises'
import { keccak256 } from 'ethers'
import hre from 'hardhat'

const CONTRACT = 'AnchorLog'
const SOURCE = `contracts/${CONTRACT}.sol`
const TARGET = new URL('../anchor-service/src/anchor/chain/AnchorLog.json', import.meta.url)

/** One compiled contract. Byte strings are 0x-prefixed hex. */
export interface ContractArtifact {
  contractName: string
  /** solc's full version, the commit included. */
  compiler: string
  abi: readonly object[]
  /** Creation code, as sent to deploy. */
  bytecode: string
  /** Runtime code, as found on chain: nothing in it is filled in at deployment. */
  deployedBytecode: string
  /** keccak256 of the runtime code: what EXTCODEHASH and eth_getProof report, and what verifiers pin. */
  codeHash: string
}

/**
 * Compiles one contract in memory, with the compiler and settings of hardhat.config.ts and only the sources it imports.
 * Touches neither artifacts/ nor cache/, so several processes may do it at once.
 *
 * @param source path of the Solidity file from the repository root, with forward slashes
 */
export async function compileContract(source: string, contractName: string): Promise<ContractArtifact> {
  const path = `${hre.config.paths.root}/${source}`
  const options = { force: true, isolated: true, quiet: true }
  const jobs = await hre.solidity.getCompilationJobs([path], options)
  if (!jobs.success) throw new Error(`cannot compile ${source}: ${jobs.formattedReason}`)
  const [job] = jobs.compilationJobsPerFile.values()
  if (job === undefined) throw new Error(`cannot compile ${source}: no compilation job`)
  const { output, compiler } = await hre.solidity.runCompilationJob(job, options)
  const contract = output.contracts?.[`project/${source}`]?.[contractName]
  if (contract?.evm?.bytecode === undefined || contract.evm.deployedBytecode === undefined) {
    const messages = (output.errors ?? []).map((error) => error.formattedMessage ?? error.message)
    throw new Error(`no ${contractName} in ${source}: ${messages.join('\n')}`)
  }
  const deployedBytecode = `0x${contract.evm.deployedBytecode.object}`
  return {
    contractName,
    compiler: compiler.longVersion,
    abi: contract.abi ?? [],
    bytecode: `0x${contract.evm.bytecode.object}`,
    deployedBytecode,
    codeHash: keccak256(deployedBytecode),
  }
}

if (import.meta.main) {
  const compiled = `${JSON.stringify(await compileContract(SOURCE, CONTRACT), null, 2)}\n`
  if (!process.argv.includes('--check')) {
    await writeFile(TARGET, compiled)
  } else if (compiled !== (await readFile(TARGET, 'utf8').catch(() => ''))) {
    console.error(`${CONTRACT}.json is stale: run node scripts/artifact.ts`)
    process.exitCode = 1
  }
}
