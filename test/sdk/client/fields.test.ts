import { expect, onTestFinished, test } from 'vitest'
import { type AuditLogOptions, openAuditLog } from '../../../sdk/src/index.ts'
import { key, startLog, tempDir } from './support.ts'

const event = { action: 'invoice.approve', actor: { type: 'user', id: 'ada' } }

async function open<const Fields extends string = never>(more: Partial<AuditLogOptions<Fields>> = {}) {
  const { url } = await startLog()
  const audit = await openAuditLog({ url, source: 'test', key, spool: tempDir(), onError: () => {}, ...more })
  onTestFinished(async () => {
    await audit.close({ timeoutMs: 0 })
  })
  return audit
}

test('a name that is no field is refused with the one that was meant, and nothing is recorded', async () => {
  const audit = await open()
  const slips: [string, string][] = [
    ['outcom', 'outcome'],
    ['contxt', 'context'],
    ['meta_data', 'metadata'],
    ['metaData', 'metadata'],
    ['tragets', 'targets'],
    ['occured_at', 'occurredAt'],
    ['change', 'changes'],
  ]
  for (const [name, meant] of slips)
    await expect(audit.record({ ...event, [name]: 1 }), name).rejects.toMatchObject({
      code: 'field_invalid',
      message: `/${name} is not a field of an event. Did you mean ${meant}?`,
      details: { field: `/${name}`, meant },
    })
  await expect(audit.record({ action: 'a', actr: { type: 'user', id: 'ada' } } as never)).rejects.toMatchObject({
    details: { meant: 'actor' },
  })
  for (const name of ['tenant', 'toString', 'x'])
    await expect(audit.record({ ...event, [name]: 1 })).rejects.toMatchObject({
      message: `/${name} is not a field of an event. What has no field of its own belongs in metadata`,
      details: { field: `/${name}` },
    })
  expect(audit.status).toMatchObject({ recorded: 0, rejected: slips.length + 4 })
})

test('a field that was declared is recorded, and a slip of it is told too', async () => {
  const audit = await open({ fields: ['tenant', 'costCentre'] })
  await audit.record({ ...event, tenant: 't-1', costCentre: { id: 7, since: new Date(0) } })
  await expect(audit.record({ ...event, ...{ costCenter: 7 } })).rejects.toMatchObject({
    details: { meant: 'costCentre' },
  })
  expect(audit.status.recorded).toBe(1)
})

test('only what events do not have anyway can be declared', async () => {
  for (const name of ['action', 'metadata', 'iss', '_sd', 'a-b', '', 'x'.repeat(65), 7 as never])
    await expect(open({ fields: ['tenant', name] }), name).rejects.toMatchObject({
      code: 'option_invalid',
      details: { option: 'fields' },
    })
})
