/** Bundles of a real ledger that has dropped events by a policy: made before and after, by command and service, and damaged. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openApi } from '@killick/sdk/audit'
import { type BundleTrust, type BundleVerdict, verifyBundle } from '@killick/sdk/bundle'
import type { EventInput } from '@killick/sdk/core'
import { bundleRequest, makeBundle } from '@killick/sdk/make-bundle'
import { readAnchors } from '@killick/sdk/verify'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { archive, type Files } from '../../../scripts/lib/vectors/bundle-world.ts'
import { planBundle } from '../../../sdk/src/bundle/make-bundle.ts'
import { printManifest } from '../../../sdk/src/bundle/manifest.ts'
import { openLedger } from '../../../sdk/src/make-bundle/reader.ts'
import { verifyBundle as verifyInNode } from '../../../sdk/src/node/bundle/verify-bundle.ts'
import { killick } from '../../sdk/cli/support.ts'
import { Producer } from '../support/producer.ts'
import { type AgingLedger, startAging } from '../support/retention.ts'
import { call, READER } from '../support/service.ts'

const event = (id: string): EventInput => ({
  ...{ action: 'order.place', actor: { type: 'user', id: 'u-1' }, targets: [{ type: 'thing', id }] },
})

let aging: AgingLedger
let folder: string
let trust: BundleTrust
let pins: string[]
let env: Record<string, string>
/** The checkpoint of the log before anything was dropped. */
let before: string
const SHOP = { source: 'shop' }
let stream: { source: string; stream: string }

const file = (name: string) => join(folder, name)
const make = (name: string, conditions: Record<string, string | number>) =>
  makeBundle(openApi(aging.service.url, READER), bundleRequest(conditions), file(name), {
    ...{ url: aging.service.url, isBare: true },
  })

async function textOf(lines: AsyncIterable<string>): Promise<string> {
  let text = ''
  for await (const line of lines) text += line
  return text
}

async function* chunksOf(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}

async function verified(bytes: Uint8Array, given = trust): Promise<BundleVerdict> {
  const verdict = await verifyInNode(chunksOf(bytes), given)
  expect(await verifyBundle(chunksOf(bytes), given)).toEqual(verdict)
  return verdict
}

/** The first two files of a bundle, as an attacker takes them apart. */
function unpack(name: string): Files & { lines: string[] } {
  const bytes = readFileSync(file(name))
  const size = (at: number) => Number.parseInt(bytes.toString('latin1', at + 124, at + 135), 8)
  const second = 512 + Math.ceil(size(0) / 512) * 512
  const log = bytes.toString('latin1', second + 512, second + 512 + size(second))
  return { manifest: bytes.toString('utf8', 512, 512 + size(0)), log, lines: log.split('\n').slice(0, -1) }
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'killick-dropped-'))
  aging = await startAging(['shop', 'hr'])
  const [shop, hr] = [aging.producer('shop'), aging.producer('hr')]
  stream = { source: 'shop', stream: shop.stream }
  for (let batch = 0; batch < 4; batch++) {
    await aging.record(
      shop,
      Array.from({ length: 5 }, (_, i) => event(`o-${5 * batch + i}`)),
    )
    await aging.record(hr, [event(`p-${batch}`)])
  }
  const slow = new Producer('shop', shop.signer, 'slow')
  await aging.record(slow, [event('s-0'), event('s-1')])
  await aging.put('slow', { covers: { stream: 'slow' }, contentsDays: 30, eventsDays: 300 })
  await aging.put('orders', { covers: SHOP, contentsDays: 30, eventsDays: 100 })
  await aging.anchored((await aging.policy('orders')).logIndex + 1)
  await make('before.bundle', SHOP)
  before = (await call(aging.service.url, '/checkpoint')).text
  await aging.pass(120, hr, event('p-tick'))
  await aging.until(async () => expect(await aging.policy('orders')).toMatchObject({ expired: 22, dropped: 20 }))
  // Of a stream whose last event was dropped nobody knows whether that ended it.
  const { streams } = (await call(aging.service.url, '/v1/streams?source=shop')).json
  expect(streams.find((each: { stream: string }) => each.stream === shop.stream).ended).toBe(null)
  await aging.record(shop, [event('o-new'), event('o-newer')])
  await aging.anchored()
  const { chain, service } = aging
  const logs = (await call(service.url, '/v1/log')).json.targets
  const sourceKeys = [shop, hr].map(({ source, signer }) => ({ source, jwk: signer.jwk }))
  const facts: BundleTrust['facts'] = (anchors) => readAnchors({ anchors }, [chain.url])
  trust = { logKeys: [service.vkey], logs, sourceKeys, facts }
  env = { KILLICK_URL: service.url, KILLICK_TOKEN: READER }
  const keys = sourceKeys.flatMap(({ source, jwk }) => {
    writeFileSync(file(`${source}.json`), JSON.stringify(jwk))
    return ['--source-key', `${source}=${file(`${source}.json`)}`]
  })
  const [{ contract, logId }] = logs
  pins = ['--rpc', chain.url, '--contract', contract, '--log-id', logId, '--log-key', service.vkey, ...keys]
}, 120_000)
afterAll(async () => {
  await aging?.stop()
  rmSync(folder, { recursive: true, force: true })
})

describe('of what was dropped', () => {
  test('a bundle of the source says how much, by what, and that nothing else is missing', async () => {
    expect(await make('source.bundle', SHOP)).toMatchObject({ dropped: 20, scope: { kind: 'source' } })
    const verdict = await verified(readFileSync(file('source.bundle')))
    expect(verdict).toMatchObject({ outcome: 'verified', faults: [], events: 4 })
    // A longer policy keeps two, whose contents have expired by orders that name what was dropped too.
    expect(verdict.fields).toMatchObject({ expired: 2, erased: 0, hidden: 0 })
    const { drops } = (await call(aging.service.url, '/v1/retention/drops')).json
    expect(verdict.completeness).toMatchObject({
      ...{ verdict: 'incomplete', gaps: [], gapCount: 0, absent: { events: 0, entries: 0 } },
      dropped: { events: 20 },
    })
    const { found } = verdict.completeness.dropped
    expect(found[0]).toMatchObject({ ...stream, first: 0, policy: { id: 'orders', version: 1 } })
    expect(found.at(-1)).toMatchObject({ ...stream, last: 19 })
    expect(new Set(found.map(({ logIndex }) => logIndex))).toEqual(
      new Set(drops.map(({ logIndex }: { logIndex: number }) => logIndex)),
    )
    const told = await killick(['verify', file('source.bundle'), ...pins])
    expect([told.code, told.err]).toEqual([3, ''])
    expect(told.out).toMatch(/^GENUINE: pinned by you$/m)
    expect(told.out).toMatch(
      /^NOT COMPLETE: 20 events were dropped by retention policies, as the ledger’s log says\. Whether they were due, an audit tells\. Nothing else is missing\.$/m,
    )
    expect(told.out).toMatch(
      /^ {2}· dropped: events 0 to \d+ of stream \S+ of shop, as log entry \d+ says, recorded at \S+Z: policy orders, version 1$/m,
    )
    expect(told.out).not.toMatch(/^COMPLETE/m)
  })

  test('one of the stream says the same, and of the places behind it that they are all there', async () => {
    await make('stream.bundle', stream)
    const bytes = readFileSync(file('stream.bundle'))
    expect((await verified(bytes)).completeness).toMatchObject({
      ...{ verdict: 'incomplete', gapCount: 0, dropped: { events: 20 } },
    })
    // Without the other source's entries.
    expect(bytes.toString('latin1')).toMatch(/^T /m)
    await make('part.bundle', { ...stream, first: 18, last: 20 })
    expect((await verified(readFileSync(file('part.bundle')))).completeness.dropped).toMatchObject({
      ...{ events: 2, found: [{ first: 18, last: 19 }] },
    })
    await make('rest.bundle', { ...stream, first: 20 })
    expect((await verified(readFileSync(file('rest.bundle')))).completeness).toMatchObject({
      ...{ verdict: 'complete', dropped: { events: 0 } },
    })
    await make('gone.bundle', { ...stream, last: 19 })
    expect(await verified(readFileSync(file('gone.bundle')))).toMatchObject({
      ...{ outcome: 'verified', events: 0, completeness: { verdict: 'incomplete', dropped: { events: 20 } } },
    })
    await make('longer.bundle', { ...stream, last: 30 })
    const told = await killick(['verify', file('longer.bundle'), ...pins])
    expect(told.code).toBe(1)
    expect(told.out).toMatch(/^NOT COMPLETE: 1 gap in what it says that it holds\.$/m)
    expect(told.out).toMatch(/· missing: events 22 to 30 of stream/)
    expect(told.out).toMatch(/^ {2}· No drop in it names what is missing: 9 events\.$/m)
    expect(told.out).toMatch(/^ {2}· 20 events were dropped by retention policies/m)
  })

  test('one of a search says what of it was dropped, as far as the search finds that', async () => {
    const { manifest, log } = await planned({ kind: 'search', conditions: SHOP })
    expect((await verified(archive({ manifest, log }))).completeness).toMatchObject({
      ...{ verdict: 'as_index_says', gapCount: 0, dropped: { events: 20 } },
    })
    await make('action.bundle', { action: 'order.place', ...SHOP })
    expect((await verified(readFileSync(file('action.bundle')))).completeness).toMatchObject({
      ...{ verdict: 'as_index_says', dropped: { events: 0 } },
    })
  })

  test('one of a period says too that no anchor shows how far it reaches', async () => {
    await make('period.bundle', { ...SHOP, from: '2020-01-01T00:00:00Z', to: '2099-01-01T00:00:00Z' })
    expect((await verified(readFileSync(file('period.bundle')))).completeness).toMatchObject({
      ...{ verdict: 'incomplete', gapCount: 0, isReached: false, dropped: { events: 20 } },
    })
    const told = await killick(['verify', file('period.bundle'), ...pins])
    expect(told.out).toMatch(
      /^ {2}· Confirmed anchors of the pinned logs do not show that it reaches as far as the times that were asked for\.$/m,
    )
  })

  test('one of the ledger’s own stream has the drops, and is complete', async () => {
    await make('own.bundle', { source: 'killick', stream: 'system' })
    const own = await verified(readFileSync(file('own.bundle')))
    expect(own).toMatchObject({ outcome: 'verified', completeness: { verdict: 'complete', dropped: { events: 0 } } })
    expect(unpack('own.bundle').lines.filter(isDrop)).not.toEqual([])
  })

  test('one that was made before holds as it did', async () => {
    const verdict = await verified(readFileSync(file('before.bundle')))
    expect(verdict).toMatchObject({ outcome: 'verified', events: 22 })
    expect(verdict.completeness).toMatchObject({ verdict: 'complete', dropped: { events: 0 } })
  })

  test('the service makes one too', async () => {
    const { json } = await aging.send('POST', '/v1/bundles', READER, SHOP)
    const job = () => call(aging.service.url, `/v1/bundles/${json.id}`)
    await aging.until(async () => expect((await job()).json.state).toBe('done'))
    const answer = await fetch(`${aging.service.url}/v1/bundles/${json.id}/file`, {
      headers: { authorization: `Bearer ${READER}` },
    })
    const bytes = new Uint8Array(await answer.arrayBuffer())
    expect((await verified(bytes)).completeness).toMatchObject({ verdict: 'incomplete', dropped: { events: 20 } })
    expect(Buffer.from(bytes).toString()).toContain(
      '20 events that retention policies have dropped, as the ledger’s log says',
    )
  })

  test('events that are dropped while it is made make it begin again', async () => {
    const api = openApi(aging.service.url, READER)
    const old = { ...openLedger(api, aging.service.url), checkpoint: async () => before }
    const { lines } = await planBundle(old, bundleRequest(SHOP), Date.now())
    await expect(textOf(lines())).rejects.toMatchObject({ code: 'bundle_outdated' })
    let left = 2
    const slow: typeof api = {
      ...api,
      text: async (path, most) => (path === '/checkpoint' && left-- > 0 ? before : api.text(path, most)),
    }
    const target = file('again.bundle')
    await makeBundle(slow, bundleRequest(SHOP), target, { url: aging.service.url, isBare: true })
    expect((await verified(readFileSync(target))).completeness.dropped.events).toBe(20)
    left = 100
    await expect(
      makeBundle(slow, bundleRequest(SHOP), file('never.bundle'), { url: aging.service.url }),
    ).rejects.toMatchObject({ code: 'bundle_outdated' })
  })

  test('a history and an export know of it', async () => {
    const id = ['history', 'thing', 'o-new', '--bundle', file('source.bundle'), ...pins]
    const told = await killick(id)
    expect([told.code, told.err]).toEqual([3, ''])
    expect(told.out).toMatch(/^NOT COMPLETE: 20 events were dropped by retention policies/m)
    await killick(['export', '--format', 'ndjson', '--source', 'shop', '--out', file('shop.ndjson')], { env })
    const checked = await killick(['verify', file('shop.ndjson'), ...pins])
    expect(checked.code).toBe(3)
    expect(checked.out).toMatch(/^24 events: 4 verified, 20 undecided$/m)
    expect(checked.out).toMatch(/^– undecided {4}.*the ledger says that a retention policy has dropped it$/m)
  })
})

/** What a maker comes to, by portable code. */
async function planned(request: Parameters<typeof planBundle>[1]): Promise<Files> {
  const reader = openLedger(openApi(aging.service.url, READER), aging.service.url)
  const { manifest, lines } = await planBundle(reader, request, Date.now())
  return { manifest: printManifest(manifest), log: await textOf(lines()) }
}

describe('damaged in any way', () => {
  const judge = (manifest: string, lines: readonly string[]) =>
    verifyInNode(
      chunksOf(archive({ manifest, log: lines.map((line) => `${line}\n`).join('') })),
      { ...trust, facts: undefined },
      { threads: 0 },
    )

  test.each(['source.bundle', 'stream.bundle'])(
    '%s is never complete, and nothing is called dropped that its drops do not name',
    async (name) => {
      const { manifest, lines } = unpack(name)
      const { dropped: own } = (await judge(manifest, lines)).completeness
      expect(own.events).toBe(20)
      const says = lines.filter(isDrop)
      const drops = [...new Set(own.found.map(({ logIndex }) => logIndex))].sort((a, b) => a - b)
      expect(drops).toHaveLength(says.length)
      const unseen: string[] = []
      let told = 0
      const look = async (what: string, damaged: readonly string[]) => {
        const { outcome, completeness } = await judge(manifest, damaged)
        const { verdict, dropped, absent, gapCount } = completeness
        if (outcome === 'failed') {
          if (verdict !== 'not_judged' || dropped.events > 0) unseen.push(what)
          return
        }
        told += 1
        const isLess =
          dropped.events <= 20 && (dropped.events === 20 || (gapCount > 0 && absent.events + absent.entries > 0))
        // Only by what the very lines say that are there.
        const isSaid = dropped.found.every(({ logIndex }) => damaged.includes(says[drops.indexOf(logIndex)]!))
        if (verdict !== 'incomplete' || !isLess || !isSaid) unseen.push(what)
      }
      for (const [i, line] of lines.entries()) {
        const middle = 2 + ((line.length - 2) >> 1)
        const altered = `${line.slice(0, middle)}${line[middle] === 'A' ? 'B' : 'A'}${line.slice(middle + 1)}`
        await look(`without line ${i + 1}`, lines.toSpliced(i, 1))
        await look(`line ${i + 1} twice`, lines.toSpliced(i, 0, line))
        await look(`line ${i + 1} altered`, lines.with(i, altered))
        await look(`line ${i + 1} cut`, lines.with(i, line.slice(0, -1)))
        if (i + 1 < lines.length)
          await look(`lines ${i + 1} and ${i + 2} swapped`, lines.with(i, lines[i + 1]!).with(i + 1, line))
        await look(
          `an event of another bundle behind line ${i + 1}`,
          lines.toSpliced(i + 1, 0, unpack('before.bundle').lines.findLast((each) => each.startsWith('E '))!),
        )
      }
      expect(unseen).toEqual([])
      expect(told).toBeGreaterThan(0)
    },
    60_000,
  )

  test('without what says so, all of it is missing', async () => {
    const { manifest, lines } = unpack('source.bundle')
    const silent = lines.filter((line) => !isDrop(line))
    expect(silent.length).toBeLessThan(lines.length)
    expect((await judge(manifest, silent)).completeness).toMatchObject({
      ...{ verdict: 'incomplete', dropped: { events: 0 }, absent: { events: 20 } },
    })
  })

  test('events that somebody has kept can be put back, and are genuine', async () => {
    const { manifest, lines } = unpack('source.bundle')
    const kept = unpack('before.bundle').lines
    const eventsOf = (header: string): string[] => {
      const at = kept.indexOf(header)
      let end = at + 1
      while (kept[end]?.startsWith('E ') || kept[end]?.startsWith('X ') || kept[end]?.startsWith('L ')) end += 1
      return at < 0 ? [] : kept.slice(at + 1, end)
    }
    const full = lines.flatMap((line, i) =>
      line.startsWith('H ') && !lines[i + 1]?.startsWith('E ') && line !== lines.at(-1)
        ? [line, ...eventsOf(line)]
        : [line],
    )
    const verdict = await judge(manifest, full)
    expect(verdict).toMatchObject({ faults: [], events: 24 + lines.filter(isDrop).length })
    expect(verdict.completeness).toMatchObject({ verdict: 'complete', dropped: { events: 0 } })
  })
})

/** Whether a line is an event of the action `retention.drop`. */
const isDrop = (line: string): boolean =>
  line.startsWith('E ') &&
  line
    .split('~')
    .slice(1)
    .some((part) => Buffer.from(part, 'base64url').toString().includes('"retention.drop"'))
