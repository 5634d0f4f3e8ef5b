import { readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import type { EventInput } from '@killick/sdk'
import { endsStream, parseEvent } from '@killick/sdk/core'
import {
  folderSubjectKeys,
  NOBODY,
  SEALING_ERROR_CODES,
  type SealingOptions,
  type SubjectKeys,
  sealing,
  unsealEvent,
} from '@killick/sdk/sealing'
import { openTestLog, type TestEvent } from '@killick/sdk/testing'
import { expect, onTestFinished, test, vi } from 'vitest'
import { sealedNames } from '../../../sdk/src/client/sealer.ts'
import { tempDir } from '../client/support.ts'

const ADA = { type: 'user', id: 'ada-1815-12-10', name: 'Ada Lovelace' }
const BOB = { type: 'user', id: 'u-18' }
const VIEW: EventInput = {
  action: 'invoice.view',
  actor: ADA,
  targets: [{ type: 'invoice', id: '42' }],
  context: { ip: '192.0.2.7' },
}

async function logOf(keys: SubjectKeys, options?: SealingOptions) {
  const errors: Error[] = []
  const log = await openTestLog({
    ...{ sealed: ['actor', 'context', 'tenant'], fields: ['tenant'], sealing: sealing(keys, options) },
    ...{ onError: (error: Error) => errors.push(error), endStream: true },
  })
  onTestFinished(async () => void (await log.close({ timeoutMs: 0 })))
  return { log, errors }
}

const fieldsOf = ({ token }: TestEvent) => parseEvent(token).fields
/** Everything that an event says, as text. */
const textOf = ({ token }: TestEvent) =>
  token
    .split(/[.~]/)
    .map((part) => Buffer.from(part, 'base64url').toString())
    .join('\n')
const isKillick = (code: string, message = /./) =>
  expect.objectContaining({ code, message: expect.stringMatching(message) })

test('sealed fields are not in the event’s bytes, and who has the key reads them', async () => {
  const keys = await folderSubjectKeys(tempDir())
  const { log } = await logOf(keys)
  await log.record({ ...VIEW, tenant: 'north' })
  await log.record(
    { ...VIEW, metadata: { note: 'secret-note' }, changes: [{ path: '/a', after: 'secret-a' }] },
    { sealed: ['metadata', 'changes', 'targets'] },
  )
  const [first, second] = log.events()
  const id = await keys.idOf(ADA)
  expect(fieldsOf(first!).actor).toEqual({ type: 'sealed', id, jwe: expect.any(String) })
  for (const word of [ADA.id, 'Lovelace', '192.0.2.7', 'north']) expect(textOf(first!)).not.toContain(word)
  expect(textOf(first!)).toContain('"42"')
  for (const word of ['secret', '"42"', '/a']) expect(textOf(second!)).not.toContain(word)
  const read = await unsealEvent({ id: first!.id, fields: fieldsOf(first!) }, keys)
  expect(read.fields).toEqual({ ...VIEW, tenant: 'north' })
  expect(Object.keys(read.sealed).sort()).toEqual(['actor', 'context', 'tenant'])
  expect((await unsealEvent({ id: second!.id, fields: fieldsOf(second!) }, keys)).fields).toMatchObject({
    ...{ targets: VIEW.targets, metadata: { note: 'secret-note' }, changes: [{ path: '/a', after: 'secret-a' }] },
  })
  expect((await unsealEvent({ id: first!.id, fields: fieldsOf(first!) }, null)).sealed.actor).toEqual({
    state: 'sealed',
    keyId: id,
  })
  // A store of somebody's own may never answer; its time is up at once here.
  const timers = vi.spyOn(globalThis, 'setTimeout').mockImplementationOnce((work) => setImmediate(work) as never)
  onTestFinished(() => timers.mockRestore())
  const silent = unsealEvent({ id: first!.id, fields: fieldsOf(first!) }, { find: () => new Promise(() => {}) })
  await expect(silent).rejects.toThrow(isKillick('keys_unreachable'))
  // Lengths of what is sealed say little: short names are alike.
  await log.record({ ...VIEW, actor: { ...ADA, name: 'A' } })
  const lengths = log.events().map((event) => (fieldsOf(event).actor as { jwe: string }).jwe.length)
  expect(new Set(lengths).size).toBe(1)
})

test('whose data it is: the actor’s, or what the application says; what is nobody’s stays as it is', async () => {
  const keys = await folderSubjectKeys(tempDir())
  const subject: SealingOptions['subject'] = ({ actor, metadata }) =>
    actor.type === 'cron'
      ? NOBODY
      : metadata?.customer === undefined
        ? undefined
        : { type: 'customer', id: String(metadata.customer) }
  const { log, errors } = await logOf(keys, { subject })
  await log.record({ ...VIEW, metadata: { customer: 'c-1' } })
  await log.record({ ...VIEW, actor: { type: 'cron', id: 'nightly' } })
  await log.record(VIEW, { subject: BOB })
  await log.record({ action: 'x', actor: ADA }, { subject: NOBODY })
  await expect(log.record(VIEW)).rejects.toThrow(isKillick('subject_missing'))
  await expect(log.record(VIEW, { subject: { type: 'user', id: '' } })).rejects.toThrow(
    isKillick('subject_missing', /it\/id must be/),
  )
  const ids = log.events().map((event) => (fieldsOf(event).actor as { id: string }).id)
  expect(ids).toEqual([await keys.idOf({ type: 'customer', id: 'c-1' }), 'nightly', await keys.idOf(BOB), ADA.id])
  expect(log.status.rejected).toBe(2)
  expect(errors).toHaveLength(2)
})

test('events keep the order of the calls and what was in them then, however long a key takes', async () => {
  const real = await folderSubjectKeys(tempDir())
  const slow: SubjectKeys = {
    ...real,
    async toSeal(subject) {
      if (subject.id === BOB.id) throw new Error('connect ECONNREFUSED')
      await sleep(subject.id === ADA.id ? 40 : 1)
      return real.toSeal(subject)
    },
  }
  const { log } = await logOf(slow)
  const metadata = { n: 0 }
  const first = log.record({ ...VIEW, metadata })
  metadata.n = 9
  const down = log.record({ ...VIEW, actor: BOB, metadata: { n: 'never' } })
  const second = log.record({ ...VIEW, actor: { type: 'user', id: 'u-1' }, metadata: { n: 1 } })
  const third = log.record({ ...VIEW, metadata: { n: 2 } }, { subject: NOBODY })
  await expect(down).rejects.toThrow(isKillick('keys_unreachable', /ECONNREFUSED/))
  // Answered early, and yet what was called before is not forgotten.
  await log.flush()
  expect((await Promise.all([first, second, third])).map(({ seq }) => seq)).toEqual([0, 1, 2])
  expect(log.events().map((event) => fieldsOf(event).metadata)).toEqual([{ n: 0 }, { n: 1 }, { n: 2 }])
  expect(log.events().map(textOf).join()).not.toContain('never')
})

test('a store that does not answer holds nothing up for ever, and nothing is written in clear', async () => {
  const keys = await folderSubjectKeys(tempDir())
  const { log } = await logOf({ ...keys, toSeal: () => new Promise(() => {}) }, { timeoutMs: 20 })
  await expect(log.record(VIEW)).rejects.toThrow(isKillick('keys_unreachable', /within 20 ms/))
  expect(log.events()).toEqual([])
  const short = await logOf({
    ...keys,
    toSeal: async (subject) => ({ id: await keys.idOf(subject), key: new Uint8Array(16) }),
  })
  await expect(short.log.record(VIEW)).rejects.toThrow(isKillick('subject_key_invalid'))
  expect(short.log.events()).toEqual([])
})

test('what cannot be sealed is refused when the log is opened, or at the call', async () => {
  const keys = await folderSubjectKeys(tempDir())
  for (const [name, why] of [
    ['action', /must stay readable/],
    ['outcome', /must stay readable/],
    ['catalogue', /must stay readable/],
    ['actr', /“?actr”? is none/],
    ['iss', /must stay readable|is none/],
    [7, /is none/],
  ] as const)
    expect(() => sealedNames([name], new Set(['tenant']))).toThrow(isKillick('option_invalid', why))
  expect(() => sealedNames('actor', new Set())).toThrow(isKillick('option_invalid'))
  await expect(openTestLog({ sealed: ['actor'] })).rejects.toThrow(isKillick('option_invalid', /sealing is missing/))
  await expect(openTestLog({ sealing: {} as never })).rejects.toThrow(isKillick('option_invalid'))
  expect(() => sealing({} as never)).toThrow(isKillick('option_invalid'))
  expect(() => sealing(Promise.resolve(keys) as never)).toThrow('await it')
  expect(() => sealing(keys, { timeoutMs: 0 })).toThrow(isKillick('option_invalid'))
  const plain = await openTestLog()
  await expect(plain.record(VIEW, { sealed: ['actor'] })).rejects.toThrow(
    isKillick('option_invalid', /sealing is missing/),
  )
  const { log } = await logOf(keys)
  await expect(log.record(VIEW, { sealed: ['outcome'] })).rejects.toThrow(isKillick('option_invalid'))
  await log.record(VIEW)
  const { actor } = fieldsOf(log.events()[0]!)
  await expect(log.record({ ...VIEW, actor: actor as never })).rejects.toThrow(
    isKillick('field_invalid', /sealed already/),
  )
  const held = { ...VIEW, catalogue: '1', metadata: { a: 1 } }
  await expect(log.record(held, { sealed: ['metadata'] })).rejects.toThrow(isKillick('field_invalid', /catalogue/))
  await log.record(held)
  const largest = { ip: 'x'.repeat(98_176 - '{"ip":""}'.length) }
  await log.record({ ...VIEW, context: largest })
  await expect(log.record({ ...VIEW, context: { ip: `${largest.ip}x` } })).rejects.toThrow(isKillick('event_too_large'))
  expect(log.events()).toHaveLength(3)
  const { fields } = await unsealEvent({ id: log.events()[2]!.id, fields: fieldsOf(log.events()[2]!) }, keys)
  expect(fields.context).toEqual(largest)
})

test('docs/ERRORS.md lists every code of sealing with its meaning', async () => {
  const page = await readFile(new URL('../../../docs/ERRORS.md', import.meta.url), 'utf8')
  const [, section] = page.split('## Codes of sealing')
  const listed = [...section!.matchAll(/^\| `(\w+)` \| (.+) \|$/gm)].map(([, code, meaning]) => [code, meaning])
  expect(Object.fromEntries(listed)).toEqual(SEALING_ERROR_CODES)
})

test('the end of a stream is told as ever', async () => {
  const { log } = await logOf(await folderSubjectKeys(tempDir()))
  await log.record(VIEW)
  const closing = log.record(VIEW)
  await log.close()
  await closing
  const last = log.events().at(-1)!
  expect(log.events()).toHaveLength(3)
  expect(endsStream(parseEvent(last.token))).toBe(true)
})
