// Commands that need a chain library and a key that pays. The anchor service has them; this file only calls it.
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { type Command, EXIT, readArgs, UsageError } from './command.ts'

const SERVICE = '@killick/anchor-service'

/** The program of the anchor service that is installed beside this package. */
function findProgram(): string {
  let manifest: string
  try {
    manifest = createRequire(import.meta.url).resolve(`${SERVICE}/package.json`)
  } catch {
    throw new UsageError(`This command needs the anchor service, which is not installed here: npm install ${SERVICE}`)
  }
  return join(dirname(manifest), JSON.parse(readFileSync(manifest, 'utf8')).bin['killick-anchor-service'])
}

/** The service takes settings and keys from the environment, so that no key appears among the arguments. */
function runService(args: readonly string[]): Promise<number> {
  const child = spawn(process.execPath, [findProgram(), ...args], { stdio: 'inherit' })
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code) => resolve(code === 0 ? EXIT.ok : EXIT.failed))
  })
}

const ENVIRONMENT = `  KILLICK_RPC_URL    a node of the chain
  KILLICK_CHAIN_KEY  the key that pays, or better a file with it; or KILLICK_SIGNER_URL for a KMS or HSM
  KILLICK_ORIGIN     the log's name, as the service has it
  KILLICK_TARGETS    instead: a JSON file with several chains

Exit codes: 0 done · 1 failed, with the reason · 2 wrong usage, or the anchor service is not installed`

export const deploy: Command = {
  summary: 'put the contract on the chain, or find it there',
  help: `killick deploy: put the contract on the chain, or find it there

Usage: killick deploy

Runs killick-anchor-service deploy, so ${SERVICE} must be installed too. AnchorLog has the same address on every
chain, whoever deploys it. Prints for each chain that address, whether the contract is new, the id of the log that this key
will open there, and the hash of the contract's code, which readers pin.

${ENVIRONMENT}

Example:
  KILLICK_RPC_URL=https://rpc.example.com KILLICK_CHAIN_KEY=/run/secrets/publisher killick deploy
`.trimEnd(),
  run: (args) => {
    readArgs(args, {})
    return runService(['deploy'])
  },
}

export const handover: Command = {
  summary: 'hand the log over to a new publisher key',
  help: `killick handover: hand the log over to a new publisher key

Usage: killick handover <address> | accept

Runs killick-anchor-service handover, so ${SERVICE} must be installed too. With the old key it offers the log to the
address of the new one; then, with the new key and KILLICK_LOG_ID, accept takes it. Prints the log's id, the transaction, and
what to do next. The log keeps its id and its past.

  KILLICK_CONTRACT   the contract
  KILLICK_LOG_ID     the log, to accept it
${ENVIRONMENT}

Example:
  killick handover 0x70997970C51812dc3A010C7d01b50e0d17dc79C8
`.trimEnd(),
  run: (args) => {
    const { positionals } = readArgs(args, {}, ['address'])
    return runService(['handover', positionals[0]!])
  },
}
