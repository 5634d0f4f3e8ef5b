import { type AuditPins, chainOf } from '@killick/sdk/audit'
import { type PublicJwk, SYSTEM } from '@killick/sdk/core'
import type { TargetSettings } from '../anchor/settings.ts'
import type { LogKey } from '../ledger/tree/checkpoints.ts'

/**
 * What an audit of the service's own ledger relies on: configuration and keys of this process, and nothing in the database.
 * @throws Error if a target's log is unknown because its signer does not answer
 */
export async function ownPins(
  log: Pick<LogKey, 'vkey' | 'origin'>,
  systemKeys: readonly PublicJwk[],
  targets: readonly TargetSettings[],
): Promise<AuditPins> {
  const logs = targets.map(async ({ name, chainId, rpcUrls, contract, logId, key }) => ({
    contract,
    // If no node answers, there is nothing to ask about, and the audit says so.
    chainId: chainId ?? (await chainOf(rpcUrls)) ?? 0,
    logId: logId ?? (await readChain()).logIdOf(await addressOf(key, name), log.origin),
  }))
  return {
    logKeys: [log.vkey],
    sourceKeys: systemKeys.map((jwk) => ({ source: SYSTEM.source, jwk })),
    logs: await Promise.all(logs),
    urls: [...new Set(targets.flatMap(({ rpcUrls }) => rpcUrls))],
  }
}

/** It takes a quarter of a second to load, and a service that anchors nowhere does without. */
const readChain = () => import('../anchor/chain/chain.ts')

/** Opening a keystore takes seconds, by design; the address is no secret. */
const addresses = new WeakMap<TargetSettings['key'], string>()

async function addressOf(key: TargetSettings['key'], target: string): Promise<string> {
  const known = addresses.get(key)
  if (known !== undefined) return known
  const { openSigner } = await import('../anchor/chain/open-signer.ts')
  const { address } = await openSigner(key).catch((error: Error) => {
    throw new Error(`Target ${target}: ${error.message}`)
  })
  addresses.set(key, address)
  return address
}
