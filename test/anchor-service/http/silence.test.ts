// Sources that promise to be heard, and one of each kind of silence.
import { generateKey, openAuditLog, publicJwk } from '@killick/sdk'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { newSigner, Producer, post } from '../support/producer.ts'
import { call, ERASER, register, type TestService, testService } from '../support/service.ts'

let service: TestService
const signer = newSigner()

beforeAll(async () => {
  service = await testService({ KILLICK_SILENCE_GRACE_MS: '2000' })
})
afterAll(() => service.stop())

const say = async (producer: Producer, action = 'tick') => {
  const { source, stream } = producer
  const targets = [{ type: 'stream', id: stream }]
  const batch = await producer.batch([{ action, actor: { type: 'source', id: source }, targets }])
  expect((await post(service.url, batch.body)).status).toBe(201)
  batch.advance()
}

type Told = { source: string; heartbeat: number | null; silence: { streams: number; since: string } | null }
const told = async (): Promise<Map<string, Told>> => {
  const { sources } = (await call(service.url, '/v1/sources')).json
  return new Map(sources.map((each: Told) => [each.source, each]))
}
const silent = async () => [...(await told()).values()].flatMap(({ source, silence }) => (silence ? [source] : []))
const gauge = async () => {
  const { text } = await call(service.url, '/metrics')
  return [...text.matchAll(/^killick_source_silent_since_timestamp_seconds\{source="(.+)"\} (\d+)/gm)].map(
    ([, source, time]) => [source, Number(time) > Date.now() / 1000 - 60],
  )
}

test('a source is silent when nothing comes for longer than it promised, until it is heard, ends, or promises no more', async () => {
  const key = generateKey()
  const jwk = signer.jwk
  await register(service.url, 'kept', [{ jwk: publicJwk(key) }], { heartbeat: 2 })
  for (const source of ['mute', 'stopped', 'ended']) await register(service.url, source, [{ jwk }], { heartbeat: 1 })
  await register(service.url, 'free', [{ jwk }])
  const log = { url: service.url, source: 'kept', key, spool: 'memory', logKey: service.vkey } as const
  const audit = await openAuditLog({ ...log, heartbeat: 1, batch: { maxAgeMs: 50 } })
  const [stopped, other] = [new Producer('stopped', signer, 'a'), new Producer('stopped', signer, 'b')]
  const ended = new Producer('ended', signer)
  for (const each of [stopped, other, ended, new Producer('free', signer)]) await say(each)
  await say(ended, 'stream.close')

  // On a slow machine others may be silent before they have said anything.
  await expect.poll(async () => (await silent()).toSorted()).toEqual(['mute', 'stopped'])
  // The second stream was heard later than the first.
  await expect.poll(async () => (await told()).get('stopped')?.silence?.streams).toBe(2)
  const sources = await told()
  expect(sources.get('stopped')).toMatchObject({ heartbeat: 1, silence: { streams: 2 } })
  expect(sources.get('mute')).toMatchObject({ heartbeat: 1, silence: { streams: 0 } })
  expect(sources.get('kept')).toMatchObject({ heartbeat: 2, silence: null })
  expect(sources.get('ended')).toMatchObject({ heartbeat: 1, silence: null })
  expect(sources.get('free')).toMatchObject({ heartbeat: null, silence: null })
  expect(await gauge()).toEqual([
    ['mute', true],
    ['stopped', true],
  ])
  expect((await call(service.url, '/readyz', null)).status).toBe(200)
  const { streams } = (await call(service.url, '/v1/streams?source=stopped')).json
  expect(streams.map(({ heartbeat }: { heartbeat: number }) => heartbeat)).toEqual([1, 1])

  // One of them goes on and one ends; the third is let off.
  await say(stopped, 'stream.heartbeat')
  await say(other, 'stream.close')
  await register(service.url, 'mute', [], { heartbeat: null })
  await expect.poll(silent).toEqual([])
  expect(await gauge()).toEqual([])
  expect((await told()).get('mute')).toMatchObject({ heartbeat: null })
  await audit.close()
  const { events } = (await call(service.url, '/v1/events?source=kept&limit=500')).json
  const actions = events.map(({ fields }: { fields: { action: string } }) => fields.action)
  expect(actions[0]).toBe('stream.close')
  expect(new Set(actions.slice(1))).toEqual(new Set(['stream.heartbeat']))
  const times = events.map(({ recordedAt }: { recordedAt: string }) => Date.parse(recordedAt))
  for (const [i, time] of times.entries()) if (i > 0) expect(times[i - 1] - time).toBeLessThan(2_000)
})

test('a stream whose end has lost fields is not taken for a silent one', async () => {
  const streams = async () => {
    const { json } = await call(service.url, '/v1/streams?source=faded')
    return json.streams.map(({ ended }: { ended: boolean | null }) => ended)
  }
  const lose = async (stream: string, fields: string[]) => {
    const order = { source: 'faded', stream, fields, reason: 'as a policy would' }
    const headers = { 'content-type': 'application/json' }
    const { json } = await call(service.url, '/v1/erasures', ERASER, {
      ...{ method: 'POST', headers, body: JSON.stringify(order) },
    })
    await expect.poll(async () => (await call(service.url, `/v1/erasures/${json.id}`)).json.state).toBe('done')
  }
  await register(service.url, 'faded', [{ jwk: signer.jwk }])
  for (const name of ['a', 'b', 'c']) {
    const each = new Producer('faded', signer, name)
    await say(each, name === 'c' ? 'tick' : 'stream.close')
  }
  await lose('a', ['actor', 'targets'])
  await lose('b', ['action', 'targets'])
  await lose('c', ['actor', 'targets'])
  expect(await streams()).toEqual([true, null, false])
  // Who begins to watch then waits for the last of them alone.
  await register(service.url, 'faded', [], { heartbeat: 1 })
  await expect.poll(async () => (await told()).get('faded')!.silence?.streams, { timeout: 10_000 }).toBe(1)
})

test.each([0, 1.5, -1, '60', 3_155_760_001])('a promise of %s is refused', async (heartbeat) => {
  const { status, json } = await register(service.url, 'odd', [{ jwk: signer.jwk }], { heartbeat })
  expect([status, json.code]).toEqual([400, 'request_invalid'])
})
