// A function without a disk: each line on stdin is an invocation. Arguments: url, logKey, key (JSON).
import { createInterface } from 'node:readline'
import { openAuditLog } from '../../../sdk/src/client/index.ts'

const [url, logKey, key] = process.argv.slice(2)
const audit = await openAuditLog({
  ...{ url: url!, source: 'test', key: JSON.parse(key!), logKey: logKey! },
  ...{ spool: 'memory', onError: () => {} },
})
for await (const _ of createInterface({ input: process.stdin })) {
  const { seq, receipt } = await audit.record({ action: 'invoke', actor: { type: 'function', id: 'f' } })
  process.stdout.write(receipt.seq === seq ? `${seq} accepted\n` : 'wrong\n')
}
