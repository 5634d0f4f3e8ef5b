// Four RPC nodes that mean harm, in a process of their own: one sends without end, one a byte at a time, one sends on to a
// loopback address, and one answers nonsense.
//
//   node hostile-node.ts
//
// Prints `nodes at <url>`; they are <url>/flood, /drip, /redirect and /nonsense, and refuse until the parent sends `attack`.
// At `rest` they refuse again; at `tell` it is printed what became of their harm.
import { setPriority } from 'node:os'
import { harm, startHostileServer } from '../lib/hostile-server.ts'

// As in attacker.ts: not to slow the service down merely by running.
setPriority(19)

/** Of these, JSON.parse takes as much as it is given. */
const NONSENSE = [
  'null',
  '{"result":',
  '{"result":{"number":"0x1e999","hash":7,"transactions":{}}}',
  `{"result":"0x${'f'.repeat(60_000)}"}`,
  `{"result":${'['.repeat(30_000)}${']'.repeat(30_000)}}`,
  `{"error":{"message":${JSON.stringify('\u001b[2J\u202e'.repeat(5_000))}}}`,
]

const server = await startHostileServer()
let isHostile = false
let asked = 0
server.reply = (request, response) => {
  if (request.url === '/elsewhere') return void response.end('{"result":"0x1"}')
  if (!isHostile) return void response.writeHead(503).end()
  asked++
  if (request.url!.endsWith('/drip')) return harm('drip', response)
  if (request.url!.endsWith('/redirect')) return harm('redirect', response)
  if (request.url!.endsWith('/nonsense')) return void response.end(NONSENSE[asked % NONSENSE.length])
  // Honest until it is asked for what may be large.
  let body = ''
  request.setEncoding('utf8').on('data', (part) => {
    body += part
  })
  request.on('end', () => {
    if (/eth_chainId|eth_blockNumber/.test(body)) response.end('{"jsonrpc":"2.0","id":1,"result":"0x539"}')
    else harm('flood', response, (bytes) => (server.sent += bytes))
  })
}
process.on('message', (word) => {
  if (word !== 'tell') {
    isHostile = word === 'attack'
    return
  }
  const followed = server.requests.filter(({ line }) => line.endsWith(' /elsewhere')).length
  process.stdout.write(`asked ${asked}, sent ${server.sent}, followed ${followed}\n`)
})
process.stdout.write(`nodes at ${server.url}\n`)
