// Hostile nodes and signers: what they send is read up to a limit, in bounded time, and no redirect is followed.
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { openSigner } from '../../../anchor-service/src/anchor/chain/open-signer.ts'
import { openNode } from '../../../anchor-service/src/anchor/chain/rpc.ts'
import { HARMS, type HostileServer, startHostileServer } from '../../../scripts/lib/hostile-server.ts'

let hostile: HostileServer
beforeAll(async () => {
  hostile = await startHostileServer()
})
afterAll(() => hostile.close())
afterEach(() => {
  hostile.requests.length = 0
  hostile.sent = 0
  hostile.reply = null
})

const TIMEOUT_MS = 300
// What lies in the buffers of the system, beyond what was read.
const SLACK = 40e6

describe.each(HARMS)('%s harms nobody when it comes', (how) => {
  test.each(['eth_call', 'eth_getBlockByNumber'])('from a node, as the answer to %s', async (method) => {
    const before = performance.now()
    const call = openNode(`${hostile.url}/${how}`, TIMEOUT_MS).call(method, [])
    await expect(call).rejects.toMatchObject({ name: 'RpcError', kind: 'unreachable' })
    expectUnharmed(before, method === 'eth_call' ? SLACK : 2 * SLACK)
  })

  test('from a signer', async () => {
    const before = performance.now()
    const opened = openSigner({ signerUrl: `${hostile.url}/${how}` }, TIMEOUT_MS)
    await expect(opened).rejects.toThrow(/^the signer at 127\.0\.0\.1:\d+ /)
    expectUnharmed(before, SLACK)
  })

  function expectUnharmed(before: number, bytes: number) {
    expect(performance.now() - before).toBeLessThan(2_000)
    expect(hostile.sent).toBeLessThan(bytes)
    expect(hostile.requests.map(({ line }) => line.split(' ')[1])).toEqual([`/${how}`])
  }
})

test('a nonsense answer counts as none, and is quoted without control characters', async () => {
  const node = openNode(hostile.url, TIMEOUT_MS)
  for (const body of ['null', '5', '[]', '"hello"', '{}', '{"result":', '\ud800', '{"error":"no"}']) {
    hostile.reply = (_, response) => void response.end(body)
    await expect(node.call('eth_call', []), body).rejects.toMatchObject({ name: 'RpcError' })
    await expect(openSigner({ signerUrl: hostile.url }, TIMEOUT_MS), body).rejects.toThrow('signer at')
  }
  const error = { code: -1, message: '\u001b[2J\u202egnp\u0085' }
  hostile.reply = (_, response) => void response.end(JSON.stringify({ error }))
  await expect(node.call('eth_call', [])).rejects.toThrow(String.raw`\u001b[2J\u202egnp\u0085`)
})
