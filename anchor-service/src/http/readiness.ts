import { readAnchoredSize } from '../ledger/registry/anchors.ts'
import type { AppDeps } from './deps.ts'

/** Whether the service takes batches, and how its parts stand. */
export async function readReadiness({
  ledger,
  anchoring,
  auditing,
}: Pick<AppDeps, 'ledger' | 'anchoring' | 'auditing'>) {
  // Trouble with anchoring or an audit is reported here, but never stops batches from being accepted.
  const registry = ledger.registry.status()
  const status = { registry, anchoring: anchoring() ?? null, audit: auditing() ?? null }
  try {
    const logSize = (await ledger.head())?.size ?? 0
    const anchoredSize = await readAnchoredSize(ledger.db)
    const fault = await ledger.checkHead()
    const writable = fault === null && ledger.isWritable()
    const wentBack = fault && { remembered: fault.remembered.size, found: fault.found?.size ?? 0 }
    const what = { database: true, writable, wentBack, logSize, anchoredSize, ...status }
    // If one source was altered, the others go on.
    const isReady = writable && registry.altered.every(({ source }) => source !== null)
    return { status: isReady ? 'ready' : 'not ready', ...what } as const
  } catch {
    const what = { database: false, writable: false, wentBack: null, logSize: null, anchoredSize: null, ...status }
    return { status: 'not ready', ...what } as const
  }
}
