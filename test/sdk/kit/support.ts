import { onTestFinished } from 'vitest'
import { openAuditLog } from '../../../sdk/src/client/open.ts'
import type { AuditLog } from '../../../sdk/src/index.ts'
import { once } from '../../../sdk/src/kit/once.ts'
import { key, startLog } from '../client/support.ts'

/** A log that signs, sends and is answered; what it has recorded can be read from the tokens that arrived. */
export async function openLog(): Promise<{
  log: AuditLog
  events: () => Record<string, unknown>[]
  tokens: () => string[]
}> {
  const { url, batches, vkey } = await startLog()
  const log = await openAuditLog({
    url,
    source: 'app',
    key,
    logKey: vkey,
    spool: 'memory',
    endStream: false,
    onError: () => {},
  })
  onTestFinished(async () => void (await log.close()))
  const arrived = () => batches.flatMap(({ events }) => events)
  return {
    log,
    events: () => arrived().map(({ fields }) => fields),
    tokens: () => arrived().map(({ token }) => token),
  }
}

/** Warnings of the kit during a test, as if none had been emitted before. */
export function listenForWarnings(): { code: string; message: string }[] {
  const warned = once('warned', () => new Set<string>())
  const before = [...warned]
  warned.clear()
  const heard: { code: string; message: string }[] = []
  const hear = (warning: Error & { code?: string }) => {
    if (warning.name === 'KillickWarning') heard.push({ code: `${warning.code}`, message: warning.message })
  }
  process.on('warning', hear)
  onTestFinished(() => {
    process.off('warning', hear)
    for (const code of before) warned.add(code)
  })
  return heard
}

/** Warnings are emitted on the next tick. */
export const ticked = () => new Promise<void>((resolve) => setImmediate(resolve))
