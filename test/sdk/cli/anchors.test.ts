// What the command prints of anchors in every state, of a service that answers as GET /v1/anchors does.
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { killick } from './support.ts'

const nothing = { block: null, time: null, confirmations: null, gasUsed: null, fee: null }
const mined = (block: number) => ({
  ...{ block, time: 1_795_000_000 + 12 * block, confirmations: 2, gasUsed: 60_000, fee: '90000000000000' },
  transaction: `0x${String(block).padStart(64, '0')}`,
})
const anchor = (size: number, state: string, more: object = {}) => ({
  ...{ target: 'mainnet', chainId: 1, contract: `0x${'c'.repeat(40)}`, logId: `0x${'d'.repeat(64)}` },
  ...{ size, root: 'A'.repeat(43), state, events: 1_000, transaction: null, ...nothing },
  ...more,
})
const LIST = [
  anchor(70, 'planned', { target: 'l2', chainId: 8453 }),
  anchor(60, 'broadcast', { transaction: `0x${'b'.repeat(64)}` }),
  anchor(50, 'reorganised', { transaction: `0x${'c'.repeat(64)}` }),
  anchor(40, 'mined', mined(104)),
  anchor(30, 'abandoned'),
  anchor(20, 'confirmed', mined(102)),
  anchor(10, 'final', mined(101)),
]

let server: Server
let asked: string[]
let answer: (limit: number, after: number) => object
const pages = (limit: number, after: number) => {
  const end = after + Math.min(limit, 3)
  return { anchors: LIST.slice(after, end), next: end < LIST.length ? String(end) : null }
}

beforeAll(async () => {
  server = createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url!, 'http://service')
    asked.push(`${pathname} ${request.headers.authorization}`)
    const page = answer(Number(searchParams.get('limit')), Number(searchParams.get('cursor') ?? 0))
    response.setHeader('content-type', 'application/json').end(JSON.stringify(page))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
})
afterAll(() => server.close())

const run = (...args: string[]) => {
  asked = []
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return killick(['anchors', ...args], { env: { KILLICK_URL: url, KILLICK_TOKEN: 'reader' } })
}

test('every state is told as what it is, over all pages, aligned, with totals for each chain', async () => {
  answer = pages
  const { code, out, err } = await run()
  expect([code, err]).toEqual([0, ''])
  expect(asked).toEqual(Array(3).fill('/v1/anchors Bearer reader'))
  const [head, ...lines] = out.trimEnd().split('\n')
  expect(
    lines.slice(0, LIST.length).map((line) => line.slice(head!.indexOf('state'), head!.indexOf('block')).trim()),
  ).toEqual([
    'pending: planned',
    'pending: broadcast',
    'pending: reorganised',
    'pending: mined, 2 blocks deep',
    'abandoned',
    'confirmed',
    'final',
  ])
  const final = lines[LIST.length - 1]!
  expect(final.split(/ {2,}/)).toEqual([
    ...['mainnet', '10', 'final', '101', '2026-11-18 11:26:52', '60,000', '90,000', '90'],
    mined(101).transaction,
  ])
  expect(final.indexOf('0x')).toBe(head!.indexOf('transaction'))
  expect(lines.slice(LIST.length)).toEqual([
    '',
    'l2 (chain 8453): 0 anchored, 1 pending, 0 abandoned',
    'mainnet (chain 1): 2 anchored, 3 pending, 1 abandoned; 180,000 gas, 270,000 gwei for 3,000 events: 90 gwei each',
  ])
})

test('--limit says that there are more; --json gives what the service gave', async () => {
  answer = pages
  const { out } = await run('--limit', '4')
  expect(out).toContain('These are the newest 4; --limit lists more.')
  expect(out).not.toContain('confirmed')
  expect(JSON.parse((await run('--json', '--limit', '5')).out)).toEqual({ anchors: LIST.slice(0, 5), next: '5' })
})

test('none, no list, and no service', async () => {
  answer = () => ({ anchors: [], next: null })
  expect(await run()).toMatchObject({ code: 0, out: 'Nothing is anchored yet, and nothing is planned.\n' })
  answer = () => ({})
  expect(await run()).toMatchObject({ code: 2, out: '', err: expect.stringContaining('is not a list') })
  expect(await run('--limit', '0')).toMatchObject({ code: 2, err: expect.stringContaining('--limit') })
  expect(await run('--url', 'http://127.0.0.1:1')).toMatchObject({ code: 3, out: '' })
})
