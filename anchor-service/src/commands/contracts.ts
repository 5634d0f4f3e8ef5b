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
  const lines: string[] = []
  for (const { name, rpcUrls, chainId: wanted, key, maxFeeGwei } of needTargets(anchor.targets)) {
    const { address, chainId, isNew, logId } = await explained(name, async () => {
      const signer = await openSigner(key)
      const deployment = await deployAnchorLog({ rpcUrl: rpcUrls[0]!, signer, maxFeeGwei, wanted })
      return { ...deployment, logId: logIdOf(signer.address, origin) }
    })
    lines.push(`${name}: chain ${chainId}, ${isNew ? 'deployed' : 'there already'}`)
    lines.push(`  KILLICK_CONTRACT  ${address}`, `  log id            ${logId}  (of this key, for ${origin})`)
    lines.push(`  code hash         ${ANCHOR_LOG_CODE_HASH}`)
  }
  return `${lines.join('\n')}\n`
}

/**
 * `handover <address>` with the publisher's key offers the log to a new key, which replaces any earlier offer. `handover accept`,
 * with the new key and KILLICK_LOG_ID, takes it. The log keeps its id. @throws StartError
 */
export async function handover({ anchor, origin }: Config, to: string): Promise<string> {
  if (to !== 'accept' && !/^0x[0-9a-fA-F]{40}$/.test(to)) {
    throw new StartError('Usage: killick-anchor-service handover <address of the new key> | accept')
  }
  const lines: string[] = []
  for (const target of needTargets(anchor.targets)) {
    const { name, contract, logId: given, key, maxFeeGwei } = target
    const { logId, transaction, address } = await explained(name, async () => {
      const signer = await openSigner(key)
      const chain = openChain(nodesOf(target))
      const logId = given ?? logIdOf(signer.address, origin)
      if (to === 'accept' && given === null) throw new Error('KILLICK_LOG_ID must say which log to accept')
      const { chainId, head } = await chain.look(contract, logId, signer.address)
      // A command that ended after its transaction, or between two targets, may be run again.
      if (to === 'accept' && head?.publisher === signer.address)
        return { logId, address: signer.address, transaction: null }
      const data = to === 'accept' ? calls.acceptPublisher(logId) : calls.offerPublisher(logId, to)
      return {
        logId,
        address: signer.address,
        ...(await transact(chain, signer, { to: contract, data }, { chainId, maxFeeGwei })),
      }
    })
    lines.push(`${name}: ${to === 'accept' ? `${address} publishes` : `${address} offers ${to}`} log ${logId}`)
    lines.push(transaction === null ? '  It did before.' : `  transaction ${transaction}`)
    if (to !== 'accept')
      lines.push(`  Next: with the new key and KILLICK_LOG_ID=${logId}, killick-anchor-service handover accept`)
  }
  return `${lines.join('\n')}\n`
}

function needTargets(targets: readonly TargetSettings[]): readonly TargetSettings[] {
  if (targets.length > 0) return targets
  throw new StartError(
    'This command needs at least one target: KILLICK_RPC_URL and KILLICK_CHAIN_KEY, or KILLICK_TARGETS.',
  )
}
