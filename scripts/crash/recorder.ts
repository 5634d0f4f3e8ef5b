// Records as fast as it can until it is killed, and prints `<seq> <id>` for every event that was acknowledged.
//
//   node recorder.ts <url> <source> <spool> <key file>
import { openAuditLog } from '@killick/sdk'

const [url, source, spool, key] = process.argv.slice(2) as [string, string, string, string]
const log = await openAuditLog({
  ...{ url, source, spool, key },
  batch: { maxEvents: 50, maxAgeMs: 50 },
  timeoutMs: 5000,
  onError: () => {},
})
const one = async (worker: number) => {
  for (let i = 0; ; i++) {
    const { id, seq } = await log.record({
      action: 'crash.count',
      actor: { type: 'worker', id: `${process.pid}-${worker}` },
      targets: [{ type: 'number', id: String(i) }],
    })
    process.stdout.write(`${seq} ${id}\n`)
    // Enough to have something under way at any moment, and little enough to be read back at the end.
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
await Promise.all([1, 2, 3, 4].map(one))
