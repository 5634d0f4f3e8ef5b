import { parseProof, verifyProof } from '@killick/sdk'
import { leafHash, openNote, parseCheckpoint, parseHash, utf8, verifyInclusion } from '@killick/sdk/core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { newSigner, Producer, post, sampleEvent } from './support/producer.ts'
import { call, register, type TestService, testService } from './support/service.ts'

let service: TestService
const signer = newSigner()

beforeAll(async () => {
  service = await testService()
  expect((await register(service.url, 'billing', [{ jwk: signer.jwk }])).status).toBe(201)
})
afterAll(() => service.stop())

describe('a batch that is in order', () => {
  test('is accepted with a receipt that proves its place in the log', async () => {
    const producer = new Producer('billing', signer)
    const { body, header, advance } = await producer.batch([sampleEvent(0), sampleEvent(1), sampleEvent(2)])
    const { status, json } = await post(service.url, body)
    expect(status).toBe(201)
    expect(json).toMatchObject({ source: 'billing', stream: producer.stream, seq: 0, n: 3 })

    const checkpoint = parseCheckpoint(openNote(json.checkpoint as string, [service.vkey]).text)
    expect(checkpoint).toMatchObject({ origin: service.origin, size: json.size })
    const path = (json.path as string[]).map((hash) => parseHash(hash)!)
    const claim = { index: json.logIndex as number, size: json.size as number, path, root: checkpoint.root }
    expect(verifyInclusion({ ...claim, leafHash: leafHash(utf8(header)) })).toBe(true)
    expect(verifyInclusion({ ...claim, leafHash: leafHash(utf8(`${header} `)) })).toBe(false)

    advance()
    const next = await producer.batch([sampleEvent(3)])
    expect(await post(service.url, next.body)).toMatchObject({ status: 201, json: { seq: 3, n: 1 } })
  })

  test('gets the very same receipt when it is sent again, even after other batches', async () => {
    const producer = new Producer('billing', signer)
    const { body, advance } = await producer.batch([sampleEvent()])
    const first = await post(service.url, body)
    const again = await post(service.url, body)
    expect(again.status).toBe(200)
    expect(again.json).toEqual(first.json)
    advance()
    await post(service.url, (await producer.batch([sampleEvent()])).body)
    expect(await post(service.url, body)).toMatchObject({ status: 200, json: first.json })
  })

  test('gives a proof of each event that verifies up to the log', async () => {
    const producer = new Producer('billing', signer)
    const { body, leaves, tokens } = await producer.batch(Array.from({ length: 5 }, (_, i) => sampleEvent(i)))
    await post(service.url, body)
    for (const [i, leaf] of leaves.entries()) {
      const { status, text } = await call(service.url, `/v1/proofs/${Buffer.from(leaf).toString('base64url')}`)
      expect(status).toBe(200)
      const proof = parseProof(text)
      expect(proof.event).toBe(tokens[i])
      expect(proof.batch.index).toBe(i)
      const verdict = verifyProof(proof, {
        sourceKeys: [{ source: 'billing', jwk: signer.jwk }],
        logKeys: [service.vkey],
      })
      expect(verdict.checks.filter((check) => check.status === 'failed')).toEqual([])
      expect(verdict.level).toBe('logged')
    }
  })
})
