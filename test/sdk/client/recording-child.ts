// Records as fast as it can until it is killed, and says on stdout what was acknowledged. Arguments: url, spool, key (JSON).
import { openAuditLog } from '../../../sdk/src/client/index.ts'

const [url, spool, key] = process.argv.slice(2)
const audit = await openAuditLog({
  url: url!,
  source: 'test',
  key: JSON.parse(key!),
  spool: spool!,
  maxSpoolBytes: 1 << 20,
  batch: { maxEvents: 20, maxAgeMs: 5 },
  onError: () => {},
})
const worker = async (name: number) => {
  for (let i = 0; ; i++) {
    const { id, seq } = await audit.record({
      action: 'test.count',
      actor: { type: 'worker', id: String(name) },
      targets: [{ type: 'number', id: String(i) }],
      metadata: { padding: 'x'.repeat((i * 37) % 900) },
    })
    process.stdout.write(`${seq} ${id}\n`)
  }
}
await Promise.all([1, 2, 3, 4, 5, 6, 7, 8].map(worker))
