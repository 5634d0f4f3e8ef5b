// The one JSON-RPC client, as the service and verifiers use it.
import { openRpc } from '@killick/sdk/verify'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { type HostileServer, startHostileServer } from '../../../scripts/lib/hostile-server.ts'

let node: HostileServer
beforeAll(async () => {
  node = await startHostileServer()
})
afterAll(() => node.close())
afterEach(() => {
  node.requests.length = 0
  node.reply = null
})

const says = (answer: unknown) => {
  node.reply = (_, response) => void response.end(JSON.stringify(answer))
}

test('a user name and password in the URL are sent as credentials, and shown nowhere', async () => {
  says({ result: '0x1' })
  const rpc = openRpc(node.url.replace('http://', 'http://us%C3%A9r:p%40ss:word@'))
  expect(await rpc.call('eth_chainId', [])).toBe('0x1')
  expect(node.requests).toEqual([
    { line: 'POST /', authorization: `Basic ${Buffer.from('usér:p@ss:word').toString('base64')}` },
  ])
  // A password that nobody has escaped.
  await openRpc(node.url.replace('http://', 'http://u:100%@')).call('eth_chainId', [])
  expect(node.requests.at(-1)!.authorization).toBe(`Basic ${Buffer.from('u:100%').toString('base64')}`)
  expect(rpc.node).toBe(new URL(node.url).host)
  says({})
  await expect(rpc.call('eth_chainId', [])).rejects.toThrow(/^The node at 127\.0\.0\.1:\d+ gave no result/)
})

test.each([
  ['itself', '0x08c379a0', '0x08c379a0'],
  ['one level deeper', { message: 'reverted', data: '0xAB' }, '0xAB'],
  ['not in hex', 'Reverted', null],
  ['nowhere', undefined, null],
])('a refusal of a node is an answer, with its words and revert data: %s', async (_, data, read) => {
  says({ error: { code: 3, message: 'no\u001b[2J', data } })
  await expect(openRpc(node.url).call('eth_call', [])).rejects.toMatchObject({
    code: 'unreachable',
    message: expect.stringContaining(String.raw`refused eth_call: "no\u001b[2J"`),
    details: { fault: { what: 'refused', method: 'eth_call' }, reason: 'no\u001b[2J', data: read },
  })
})

test.each(['null', '5', '[]', '{}', '{"error":"no"}', '{"error":5,"result":"0x1"}', '{"result":', '\ud800'])(
  '%j is no answer',
  async (body) => {
    node.reply = (_, response) => void response.end(body)
    await expect(openRpc(node.url).call('eth_call', [])).rejects.toMatchObject({
      code: 'unreachable',
      details: { fault: { what: expect.stringMatching(/^(nonsense|unreachable)$/) } },
    })
  },
)

test('a request on a cut connection is sent once more, unless `again` is false', async () => {
  const asked = async (again?: boolean) => {
    node.requests.length = 0
    const rpc = openRpc(`${node.url}/reset`, again === undefined ? {} : { again })
    await expect(rpc.call('eth_sendRawTransaction', ['0x'])).rejects.toMatchObject({
      details: { fault: { what: 'unreachable' } },
    })
    return node.requests.length
  }
  expect(await asked()).toBe(2)
  expect(await asked(true)).toBe(2)
  expect(await asked(false)).toBe(1)
})

test('answers that may be large are read to a higher limit', async () => {
  const text = 'x'.repeat(1 << 20)
  says({ result: text })
  const rpc = openRpc(node.url)
  for (const method of ['eth_getBlockByNumber', 'eth_getBlockByHash', 'eth_getTransactionReceipt'])
    expect(await rpc.call(method, [])).toBe(text)
  await expect(rpc.call('eth_call', [])).rejects.toThrow('more than 65536 bytes')
})
