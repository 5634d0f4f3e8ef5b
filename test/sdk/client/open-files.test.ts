// A process that may open no more files for a while records on, and the spool is whole afterwards.
import { spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { expect, test } from 'vitest'
import { openAuditLog } from '../../../sdk/src/client/index.ts'
import { event, key, tempDir } from './support.ts'

const PROGRAM = `
import { closeSync, openSync, readdirSync } from 'node:fs'
import { openAuditLog } from ${JSON.stringify(new URL('../../../sdk/src/client/index.ts', import.meta.url).href)}
const [spool, key] = process.argv.slice(1)
const audit = await openAuditLog({
  ...{ url: 'http://127.0.0.1:1', source: 'test', key: JSON.parse(key), spool, maxSpoolBytes: 1 << 20 },
  batch: { maxAgeMs: 60_000 },
  onError: () => {},
})
const segments = () => readdirSync(spool).filter((name) => name.endsWith('.log')).length
const record = (n) => audit.record({
  ...{ action: 'test.count', actor: { type: 'process', id: 'p' }, targets: [{ type: 'number', id: String(n) }] },
  metadata: { padding: 'x'.repeat(30_000) },
})
await record(0)
const held = []
let code
while (code === undefined)
  try {
    held.push(openSync('/dev/null'))
  } catch (error) {
    code = error.code
  }
// A segment has an eighth of the spool.
for (let n = 1; n < 8; n++) await record(n)
for (const each of held) closeSync(each)
const without = segments()
// It is tried again while nothing is recorded.
while (segments() === without) await new Promise((resolve) => setTimeout(resolve, 20))
for (let n = 8; n < 12; n++) await record(n)
console.log(JSON.stringify({ code, without, recorded: audit.status.recorded, rejected: audit.status.rejected }))
await audit.close({ timeoutMs: 0 })`

test.skipIf(process.platform === 'win32')(
  'a new segment that cannot be opened for lack of open files waits',
  async () => {
    const spool = tempDir()
    const node = [process.execPath, '--input-type=module', '-e', PROGRAM, spool, JSON.stringify(key)]
    const child = spawnSync('sh', ['-c', 'ulimit -n 200; exec "$@"', 'sh', ...node], {
      encoding: 'utf8',
      timeout: 30_000,
    })
    expect([child.stderr, child.status]).toEqual(['', 0])
    expect(JSON.parse(child.stdout)).toEqual({ code: 'EMFILE', without: 1, recorded: 12, rejected: 0 })
    expect(readdirSync(spool).filter((name) => name.endsWith('.log')).length).toBeGreaterThan(1)
    const options = { url: 'http://127.0.0.1:1', source: 'test', key, spool, onError: () => {} }
    const again = await openAuditLog({ ...options, maxSpoolBytes: 4 << 20 })
    expect((await again.record(event(12))).seq).toBe(12)
    await again.close({ timeoutMs: 0 })
  },
)
