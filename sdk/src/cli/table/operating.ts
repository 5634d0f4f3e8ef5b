import { command } from './entry.ts'

const ENVIRONMENT = [
  ['KILLICK_RPC_URL', 'a node of the chain'],
  ['KILLICK_CHAIN_KEY', 'the key that pays, or better a file with it; or KILLICK_SIGNER_URL for a KMS or HSM'],
  ['KILLICK_ORIGIN', 'the log’s name, as the service has it'],
  ['KILLICK_TARGETS', 'instead: a JSON file with several chains'],
] as const

const EXITS = [
  [0, 'done'],
  [1, 'failed, with the reason'],
  [2, 'wrong usage, or the anchor service is not installed'],
] as const

export const DEPLOY = command({
  name: 'deploy',
  summary: 'put the contract on the chain, or find it there',
  usage: ['deploy'],
  about: [
    'Runs killick-anchor-service deploy, so @killick/anchor-service must be installed too. AnchorLog has the same address on every chain, whoever deploys it. Prints for each chain that address, whether the contract is new, the id of the log that this key will open there, and the hash of the contract’s code, which readers pin.',
  ],
  options: {},
  environment: ENVIRONMENT,
  exits: EXITS,
  examples: ['KILLICK_RPC_URL=https://rpc.example.com KILLICK_CHAIN_KEY=/run/secrets/publisher killick deploy'],
})

export const HANDOVER = command({
  name: 'handover',
  summary: 'hand the log over to a new publisher key',
  usage: ['handover <address> | accept'],
  arguments: [{ name: 'address', complete: ['accept'] }],
  about: [
    'Runs killick-anchor-service handover, so @killick/anchor-service must be installed too. With the old key it offers the log to the address of the new one; then, with the new key and KILLICK_LOG_ID, accept takes it. Prints the log’s id, the transaction, and what to do next. The log keeps its id and its past.',
  ],
  options: {},
  environment: [['KILLICK_CONTRACT', 'the contract'], ['KILLICK_LOG_ID', 'the log, to accept it'], ...ENVIRONMENT],
  exits: EXITS,
  examples: ['killick handover 0x70997970C51812dc3A010C7d01b50e0d17dc79C8'],
})
