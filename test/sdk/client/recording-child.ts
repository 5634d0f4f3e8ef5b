// Records as fast as it can until it is killed, and says on stdout what was acknowledged. Arguments: url, spool, key (JSON), and
// how many events at most; then it waits, for as long as its stdin is open.
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { openAuditLog } from '../../../sdk/src/client/index.ts'
import { KillickError } from '../../../sdk/src/core/errors.ts'
import type { EventInput } from '../../../sdk/src/core/fields.ts'

const [url, spool, key, most] = process.argv.slice(2)
const audit = await openAuditLog({
  url: url!,
  source: 'test',
  key: JSON.parse(key!),
  spool: spool!,
  maxSpoolBytes: 1 << 20,
  batch: { maxEvents: 20, maxAgeMs: 5 },
  onError: () => {},
})
/** Where the spool is full it goes on trying: whoever kills it may be waiting for another that begins late. */
async function record(event: EventInput): ReturnType<typeof audit.record> {
  for (;;) {
    try {
      return await audit.record(event)
    } catch (error) {
      if (!(error instanceof KillickError) || error.code !== 'spool_full') throw error
      await sleep(20)
    }
  }
}
const last = Number(most ?? Number.POSITIVE_INFINITY)
let begun = 0
const worker = async (name: number) => {
  for (let i = 0; begun < last; i++) {
    begun += 1
    const { id, seq } = await record({
      action: 'test.count',
      actor: { type: 'worker', id: String(name) },
      targets: [{ type: 'number', id: String(i) }],
      metadata: { padding: 'x'.repeat((i * 37) % 900) },
    })
    process.stdout.write(`${seq} ${id}\n`)
  }
}
await Promise.all([1, 2, 3, 4, 5, 6, 7, 8].map(worker))
await once(process.stdin.resume(), 'end')
