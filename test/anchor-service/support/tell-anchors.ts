// Anchors that only the log tells of: for what somebody lists who holds its keys.
import { loadConfig } from '../../../anchor-service/src/config.ts'
import { openStore } from '../../../anchor-service/src/open-store.ts'
import { ADMIN, type TestService } from './service.ts'

export type AnchorPlace = { chainId: number; contract: string; logId: string; size: number; root: string }

/** Has the log tell that anchors count, or do not count any more. @param env of the service, where it is not the default */
export async function tellAnchors(
  { databaseUrl, folder }: Pick<TestService, 'databaseUrl' | 'folder'>,
  action: 'anchor.commit' | 'anchor.withdraw',
  places: readonly AnchorPlace[],
  env: Readonly<Record<string, string>> = {},
): Promise<void> {
  const own = { DATABASE_URL: databaseUrl, KILLICK_DATA: folder, KILLICK_ADMIN_TOKEN: ADMIN }
  const store = await openStore(loadConfig({ ...env, ...own }))
  try {
    for (const { chainId, contract, logId, size, root } of places)
      await store.ledger.record({
        ...{ action, actor: { type: 'service', id: 'anchor-service' } },
        targets: [{ type: 'anchor', id: `${chainId}/${contract}/${logId}/${size}` }],
        metadata: { chainId, contract, logId, size, root },
      })
  } finally {
    await store.close()
  }
}
