import type { Service } from '@killick/anchor-service'
import { auditLedger, auditOutcome, openApi } from '@killick/sdk/audit'
import type { PinnedLog } from '@killick/sdk/verify'
import { expect } from 'vitest'
import type { LocalChain } from '../../../support/local-chain.ts'
import { call, READER } from '../../support/service.ts'
import { anchoredSizes } from './world.ts'

type Listed = { logId: string; size: number; state: string }

/**
 * Audits the whole ledger against the chain, as a stranger who has pinned these logs, and compares each log's anchors in the
 * contract with those that the service counts: the same sizes in the same order, so none twice and none missing.
 */
export async function expectAudited(
  { url, vkey }: Pick<Service, 'url' | 'vkey'>,
  chain: LocalChain,
  contract: string,
  logIds: readonly string[],
  about = '',
): Promise<void> {
  const logs: PinnedLog[] = logIds.map((logId) => ({ chainId: chain.chainId, contract: contract.toLowerCase(), logId }))
  const result = await auditLedger(openApi(url, READER), { logKeys: [vkey], sourceKeys: [], logs, urls: [chain.url] })
  expect([auditOutcome(result), result.checks.filter(({ status }) => status !== 'passed')], about).toEqual([
    'passed',
    [],
  ])

  const listed: Listed[] = []
  for (let cursor: string | null = ''; cursor !== null; ) {
    const page: { anchors: Listed[]; next: string | null } = (
      await call(url, `/v1/anchors?limit=500${cursor && `&cursor=${cursor}`}`)
    ).json
    listed.push(...page.anchors)
    cursor = page.next
  }
  const counted = listed.filter(({ state }) => state === 'confirmed' || state === 'final')
  for (const logId of logIds) {
    const own = counted.filter((anchor) => anchor.logId === logId).map(({ size }) => size)
    const sizes = await anchoredSizes({ chain, contract }, { target: { logId } })
    expect(sizes.length, about).toBeGreaterThan(0)
    expect(sizes, about).toEqual(own.sort((a, b) => a - b))
  }
}
