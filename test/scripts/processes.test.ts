import { spawnSync } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { startChain } from '../../scripts/lib/local-chain.ts'
import { startChild } from '../support/processes.ts'
import { redisAvailable, startRedis } from '../support/redis.ts'

const processes = new URL('../../scripts/lib/processes.ts', import.meta.url).href
const node = (code: string) => startChild(process.execPath, ['--input-type=module', '-e', code])

/** An orphan that has ended but that nobody has reaped yet (Z) is not alive. */
const isAlive = (pid: number) => {
  const { stdout } = spawnSync('ps', ['-o', 'stat=', '-p', `${pid}`], { encoding: 'utf8' })
  return /^[^Z\s]/.test(stdout)
}

async function endsSoon(pid: number): Promise<boolean> {
  for (let i = 0; i < 100 && isAlive(pid); i++) await sleep(20)
  return !isAlive(pid)
}

describe('child processes', () => {
  test('printed() waits for a line, stop() lets the program finish', async () => {
    const child = await node(
      `process.on('SIGTERM', () => process.exit(3)); console.log('port 4711'); setInterval(() => {}, 1e6)`,
    )
    expect((await child.printed(/port (\d+)/))[1]).toBe('4711')
    await child.stop()
    expect(await child.exited).toEqual({ code: 3, signal: null })
  })

  test('stop() kills a program that does not end', async () => {
    const child = await node(`process.on('SIGTERM', () => {}); console.log('up'); setInterval(() => {}, 1e6)`)
    await child.printed(/up/)
    await child.stop(100)
    expect(await child.exited).toEqual({ code: null, signal: 'SIGKILL' })
  })

  test('a program that ends too early is reported with its output', async () => {
    const child = await node(`console.error('no such file'); process.exit(4)`)
    await expect(child.printed(/ready/)).rejects.toThrow(/ended \(4\)[\s\S]*no such file/)
  })

  test('child processes end when their parent is killed', async () => {
    const parent = await node(`
      import { startNode } from '${processes}'
      const helper = await startNode(['-e', 'console.log("helper up"); setInterval(() => {}, 1e6)'])
      await helper.printed(/helper up/)
      console.log('helper ' + helper.pid + '.')`)
    const helper = Number((await parent.printed(/helper (\d+)\./))[1])
    await parent.kill9()
    expect(await endsSoon(helper)).toBe(true)
  })

  test('child processes that still run at exit are killed', async () => {
    const parent = await node(`
      import { startChild } from '${processes}'
      const child = await startChild('sleep', ['1000'])
      console.log('child ' + child.pid + '.')
      process.exit(0)`)
    const child = Number((await parent.printed(/child (\d+)\./))[1])
    expect(await endsSoon(child)).toBe(true)
  })
})

test('a local chain: its own number, funded accounts, the contract', async () => {
  const chain = await startChain({ chainId: 31_337_001 })
  try {
    expect(Number(await chain.rpc<string>('eth_chainId'))).toBe(31_337_001)
    const contract = await chain.deployAnchorLog(await chain.newKey())
    expect(await chain.rpc<string>('eth_getCode', [contract, 'latest'])).toMatch(/^0x[0-9a-f]{100,}$/)
    expect(await chain.deployAnchorLog()).not.toBe(contract)
    await expect(chain.rpc('no_such_method')).rejects.toThrow('no_such_method')
  } finally {
    await chain.stop()
  }
  expect(isAlive(chain.pid)).toBe(false)
})

test.skipIf(!redisAvailable())(
  'a Redis of our own keeps what was fsynced through kill -9, and forgets on flush',
  async () => {
    const { Redis } = await import('ioredis')
    const first = await startRedis({ appendonly: true })
    const write = new Redis(first.url)
    await write.set('ring', '1')
    write.disconnect()
    await first.kill9()
    const second = await first.restart()
    const read = new Redis(second.url)
    expect(await read.get('ring')).toBe('1')
    await second.flush()
    expect(await read.get('ring')).toBeNull()
    read.disconnect()
    await second.stop()
  },
)
