// Checking threads remember sources. A registration, even in another process, counts for the next batch.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { newSigner, Producer, post, sampleEvent } from '../support/producer.ts'
import { register, type TestService, testService } from '../support/service.ts'

let here: TestService
let there: TestService

beforeAll(async () => {
  here = await testService()
  there = await testService({}, here)
})
afterAll(async () => {
  await there.close()
  await here.stop()
})

const PAST = '2020-01-01T00:00:00Z'
const signer = newSigner()
const producer = (source: string) => new Producer(source, signer)

/** Hands in the producer's next batch: by default more often than there are threads, so that each of them knows its source. */
async function sendMany(to: TestService, sender: Producer, twist: Parameters<Producer['batch']>[1] = {}, times = 8) {
  const answers = []
  for (let i = 0; i < times; i++) {
    const batch = await sender.batch([sampleEvent(i)], twist)
    const answer = await post(to.url, batch.body)
    if (answer.status === 201) batch.advance()
    answers.push(answer.status === 201 ? 'accepted' : answer.json.code)
  }
  return [...new Set(answers)]
}

test.each(['here', 'there'])('a key that was withdrawn %s is refused with the next batch', async (where) => {
  const service = where === 'here' ? here : there
  const sender = producer(`withdrawn-${where}`)
  await register(here.url, sender.source, [{ jwk: signer.jwk }])
  expect(await sendMany(here, sender)).toEqual(['accepted'])
  await register(service.url, sender.source, [{ jwk: signer.jwk, notAfter: PAST }])
  expect(await sendMany(here, sender)).toEqual(['key_expired'])
  await register(service.url, sender.source, [{ jwk: signer.jwk }])
  expect(await sendMany(here, sender)).toEqual(['accepted'])
})

test('a batch that was accepted before its key was withdrawn gets its receipt again', async () => {
  const sender = producer('repeated')
  await register(there.url, sender.source, [{ jwk: signer.jwk }])
  const batch = await sender.batch([sampleEvent()])
  const first = await post(here.url, batch.body)
  await register(there.url, sender.source, [{ jwk: signer.jwk, notAfter: PAST }])
  for (let i = 0; i < 4; i++) {
    const again = await post(here.url, batch.body)
    expect(again).toMatchObject({ status: 200, json: first.json })
  }
})

test('a source, or a new key of a known one, may be used as soon as another process registered it', async () => {
  const [sender, another] = [producer('new'), newSigner()]
  // Once only: an address that sends batches of unknown keys has to wait.
  expect(await sendMany(here, sender, {}, 1)).toEqual(['key_unknown'])
  await register(there.url, sender.source, [{ jwk: signer.jwk }])
  expect(await sendMany(here, sender)).toEqual(['accepted'])
  expect(await sendMany(here, sender, { signer: another }, 1)).toEqual(['key_unknown'])
  await register(there.url, sender.source, [{ jwk: another.jwk }])
  expect(await sendMany(here, sender, { signer: another })).toEqual(['accepted'])
})

test('a change of whether events must be signed counts for the next batch', async () => {
  const sender = producer('unsigned')
  await register(there.url, sender.source, [{ jwk: signer.jwk }])
  expect(await sendMany(here, sender, { eventSigner: null })).toEqual(['event_signature_required'])
  await register(there.url, sender.source, [], { eventSignatures: 'optional' })
  expect(await sendMany(here, sender, { eventSigner: null })).toEqual(['accepted'])
  await register(there.url, sender.source, [], { eventSignatures: 'required' })
  expect(await sendMany(here, sender, { eventSigner: null })).toEqual(['event_signature_required'])
  expect(await sendMany(here, sender)).toEqual(['accepted'])
})
