import { setTimeout as sleep } from 'node:timers/promises'
import { KillickError } from '@killick/sdk'
import { expect, test } from 'vitest'
import { takeTurns } from '../../../../anchor-service/src/intake/admission/fair-queue.ts'

const LIMITS = { width: 2, waiting: 2, pauseMs: 40, maxPauseMs: 80 }
const here = new AbortController().signal
const worthless = () => Promise.reject(new KillickError('batch_malformed', 'a test’s own'))
const never = () => new Promise<never>(() => {})

/** How long the address waits for a turn, ms. The turn itself takes no time. */
async function wait({ inTurn }: ReturnType<typeof takeTurns>, address: string): Promise<number> {
  const start = performance.now()
  await inTurn(address, here, async () => {})
  return performance.now() - start
}

/**
 * When the address gets its turn, if that is within so many ms by timers of this process, which end in their order, however late.
 */
const within = (ms: number, { inTurn }: ReturnType<typeof takeTurns>, address: string) =>
  Promise.race([inTurn(address, here, async () => performance.now()), sleep(ms, null)])

test('an address with too much under way waits only for itself, and is refused beyond a bound', async () => {
  const turns = takeTurns(LIMITS)
  let finish = () => {}
  const first = turns.inTurn('a', here, () => new Promise<void>((resolve) => (finish = resolve)))
  turns.inTurn('a', here, never)
  const order: number[] = []
  const waiting = [1, 2].map((i) => turns.inTurn('a', here, async () => void order.push(i)))
  await expect(turns.inTurn('a', here, never)).rejects.toMatchObject({ code: 'overloaded' })
  expect(await within(30, turns, 'b')).not.toBe(null)
  expect(order).toEqual([])
  finish()
  await Promise.all([first, ...waiting])
  expect(order).toEqual([1, 2])
})

test('an address that sends refused bodies pauses, longer each time up to a bound; good bodies make up for it', async () => {
  const turns = takeTurns(LIMITS)
  const begun = performance.now()
  for (let i = 0; i < 4; i++) await expect(turns.inTurn('a', here, worthless)).rejects.toThrow()
  expect(await within(30, turns, 'b')).not.toBe(null)
  const first = await turns.inTurn('a', here, async () => performance.now())
  expect(first - begun).toBeGreaterThan(70)
  const second = await within(70, turns, 'a')
  expect(second! - first).toBeGreaterThan(35)
  expect(await within(30, turns, 'a')).not.toBe(null)
})

test('a thousand recorders behind one address all get their turn', async () => {
  const turns = takeTurns()
  const all = Array.from({ length: 1024 }, (_, i) => turns.inTurn('a', here, async () => i))
  expect(await Promise.all(all)).toHaveLength(1024)
})

test('a client that left waits no more, and nobody pauses while the service stops', async () => {
  const turns = takeTurns({ ...LIMITS, pauseMs: 60_000, maxPauseMs: 60_000 })
  await expect(turns.inTurn('a', here, worthless)).rejects.toThrow()
  const gone = new AbortController()
  const left = turns.inTurn('a', gone.signal, never)
  const stays = turns.inTurn('a', here, async () => 'done')
  gone.abort()
  await expect(left).rejects.toMatchObject({ code: 'request_invalid' })
  turns.close()
  expect(await stays).toBe('done')
})

test('endless new addresses do not make it forget who must pause or has something under way', async () => {
  const turns = takeTurns({ ...LIMITS, width: 1, pauseMs: 100, maxPauseMs: 800 })
  for (let i = 0; i < 3; i++) await expect(turns.inTurn('bad', here, worthless)).rejects.toThrow()
  let finish = () => {}
  const busy = turns.inTurn('busy', here, () => new Promise<void>((resolve) => (finish = resolve)))
  for (let i = 0; i < 10_001; i++) await turns.inTurn(`new-${i}`, here, async () => {})
  let done = false
  const waits = turns.inTurn('busy', here, async () => {
    done = true
  })
  const again = turns.inTurn('bad', here, worthless).catch(() => {})
  await again
  expect(await wait(turns, 'bad')).toBeGreaterThan(600)
  expect(done).toBe(false)
  finish()
  await Promise.all([busy, waits])
  expect(done).toBe(true)
})
