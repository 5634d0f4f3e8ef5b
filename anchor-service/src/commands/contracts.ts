import { ANCHOR_LOG_CODE_HASH } from '@killick/sdk/verify'
import { transact } from '../anchor/chain/account.ts'
import { calls, logIdOf, openChain } from '../anchor/chain/chain.ts'
import { deployAnchorLog } from '../anchor/chain/deploy.ts'
import { openSigner } from '../anchor/chain/open-signer.ts'
import { nodesOf, type TargetSettings } from '../anchor/settings.ts'
import type { Config } from '../config.ts'
import { StartError } from '../errors.ts'
import { explained } from './explained.ts'

/** Commands about contracts that a person runs once. They need no database. Each returns what to print. */

/** `deploy`: puts AnchorLog on every configured chain, at the same address on all of them. @throws StartError */
export async function deploy({ anchor, origin }: Config): Promise<string> {
  return inTurn(anchor.targets, async ({ name, rpcUrls, chainId: wanted, key, maxFeeGwei }) => {
    const signer = await openSigner(key)
    const { address, chainId, isNew } = await deployAnchorLog({ rpcUrl: rpcUrls[0]!, signer, maxFeeGwei, wanted })
    return [
      `${name}: chain ${chainId}, ${isNew ? 'deployed' : 'there already'}`,
      `  KILLICK_CONTRACT  ${address}`,
      `  log id            ${logIdOf(signer.address, origin)}  (of this key, for ${origin})`,
      `  code hash         ${ANCHOR_LOG_CODE_HASH}`,
    ]
  })
}

/**
 * `handover <address>` with the publisher's key offers the log to a new key, which replaces any earlier offer. `handover accept`,
 * with the new key and KILLICK_LOG_ID, takes it. The log keeps its id. @throws StartError
 */
export async function handover({ anchor, origin }: Config, to: string): Promise<string> {
  if (to !== 'accept' && !/^0x[0-9a-fA-F]{40}$/.test(to)) {
    throw new StartError('Usage: killick-anchor-service handover <address of the new key> | accept')
  }
  return inTurn(anchor.targets, async (target) => {
    const { name, contract, logId: given, key, maxFeeGwei } = target
    const signer = await openSigner(key)
    const { address } = signer
    const chain = openChain(nodesOf(target))
    const logId = given ?? logIdOf(address, origin)
    if (to === 'accept' && given === null) throw new Error('KILLICK_LOG_ID must say which log to accept')
    const { chainId, head } = await chain.look(contract, logId, address)
    const publishes = `${name}: ${address} publishes log ${logId}`
    // A command that ended after its transaction, or between two targets, may be run again.
    if (to === 'accept' && head?.publisher === address) return [publishes, '  It did before.']
    const data = to === 'accept' ? calls.acceptPublisher(logId) : calls.offerPublisher(logId, to)
    const { transaction } = await transact(chain, signer, { to: contract, data }, { chainId, maxFeeGwei })
    const sent = `  transaction ${transaction}`
    if (to === 'accept') return [publishes, sent]
    return [
      `${name}: ${address} offers ${to} log ${logId}`,
      sent,
      `  Next: with the new key and KILLICK_LOG_ID=${logId}, killick-anchor-service handover accept`,
    ]
  })
}

/**
 * What was done for each target, as lines. Where one fails, what was done for those before it stands on their chains, and is said too.
 * @throws StartError
 */
async function inTurn(
  targets: readonly TargetSettings[],
  work: (target: TargetSettings) => Promise<string[]>,
): Promise<string> {
  const lines: string[] = []
  for (const target of needTargets(targets))
    try {
      lines.push(...(await explained(target.name, () => work(target))))
    } catch (error) {
      if (lines.length === 0) throw error
      throw new StartError(`${(error as Error).message}\nThis was done before that, and stands:\n${lines.join('\n')}`)
    }
  return `${lines.join('\n')}\n`
}

function needTargets(targets: readonly TargetSettings[]): readonly TargetSettings[] {
  if (targets.length > 0) return targets
  throw new StartError(
    'This command needs at least one target: KILLICK_RPC_URL and KILLICK_CHAIN_KEY, or KILLICK_TARGETS.',
  )
}
