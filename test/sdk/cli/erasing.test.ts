/** `killick erase`, `erasures`, `retention`, `prune` and `holds` against a real service. */
import { randomUUID } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { newSigner, Producer, post } from '../../anchor-service/support/producer.ts'
import {
  ADMIN,
  ANNA,
  BEN,
  ERASER,
  READER,
  register,
  type TestService,
  testService,
  twoPeople,
} from '../../anchor-service/support/service.ts'
import { killick, killickAsked } from './support.ts'

const SUBJECT = 'zoe-4711'
let service: TestService

beforeAll(async () => {
  service = await testService()
  const producer = new Producer('shop', newSigner())
  await register(service.url, 'shop', [{ jwk: producer.signer.jwk }])
  const batch = await producer.batch(
    Array.from({ length: 40 }, (_, i) => ({
      action: 'order.place',
      actor: { type: 'user', id: i % 10 === 7 ? SUBJECT : `u-${i}` },
      targets: [{ type: 'order', id: `o-${i}` }],
      context: { ip: `203.0.113.${i}` },
    })),
  )
  expect((await post(service.url, batch.body)).status).toBeLessThan(300)
})
afterAll(() => service?.stop())

/** With the tokens of an operator who has all three, or fewer. */
const run = (args: string[], { isTerminal = false, ...more }: { isTerminal?: boolean; token?: string } = {}) =>
  killick([...args, '--url', service.url, ...(more.token ? ['--token', more.token] : [])], {
    isTerminal,
    env: {
      ...{ KILLICK_URL: service.url, KILLICK_TOKEN: READER, KILLICK_ADMIN_TOKEN: ADMIN, KILLICK_ERASER_TOKEN: ERASER },
    },
  })

const ORDER = ['erase', '--actor', SUBJECT, '--fields', 'actor,context', '--reason', 'request of the person']
const found = async () => (await run(['search', '--actor', SUBJECT])).out.split('\n').filter(Boolean).length
const rows = (text: string) =>
  text
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line))

test('a dry run counts, shows samples and changes nothing', async () => {
  const shown = await run([...ORDER, '--dry-run'], { isTerminal: true })
  expect(shown).toMatchObject({ code: 0, err: '' })
  expect(shown.out).toMatch(/ shop +[0-9a-f-]{36} +actor, context\n/)
  expect(shown.out).toMatch(/\n4 events would lose 8 fields\. Nothing was changed\.\n$/)
  const { out } = await run([...ORDER, '--dry-run', '--json'])
  expect(JSON.parse(out)).toMatchObject({ events: 4, fields: 8, held: 0 })
  expect(await found()).toBe(4)
  expect(await run(['erasures'], { isTerminal: true })).toMatchObject({
    code: 0,
    out: 'Nothing was ordered to be erased.\n',
  })
})

test('wrong usage and wrong tokens are refused, and nothing is erased', async () => {
  const events = ['--event', 'A'.repeat(43)]
  const wrong: [string[], RegExp][] = [
    [['erase', '--fields', 'all', '--reason', 'x'], /Say which events/],
    [[...ORDER, ...events], /and not by both/],
    [['erase', '--actor', SUBJECT, '--reason', 'x'], /--fields is missing/],
    [['erase', '--actor', SUBJECT, '--fields', 'all'], /--reason is missing/],
    [[...ORDER, '--id', 'E-1'], /--id is no UUID/],
    [[...ORDER, '--dry-run', '--wait'], /changes nothing/],
    [[...ORDER, '--token', ADMIN], /forbidden|does not allow/],
    [['erase', ...events, '--fields', 'all', '--reason', 'x'], /event_not_found/],
    [['erase', '--actor', 'nobody', '--fields', 'all', '--reason', 'x'], /erasure_empty/],
    [['erase', '--confirm', 'E-1'], /no id of a proposal/],
    [['erase', '--confirm', randomUUID(), '--fields', 'all'], /said when it was proposed/],
    [['erase', '--confirm', randomUUID(), '--refuse', randomUUID()], /two things/],
    [['erase', '--refuse', randomUUID()], /--reason is missing/],
    [['erase', '--refuse', randomUUID(), '--reason', 'x', '--wait'], /done at once/],
    [['erase', '--confirm', randomUUID()], /no second person/],
    [['erasures', '--proposals', '--entries'], /proposals alone/],
    [['erasures', 'E-1'], /no id of an erasure/],
    [['erasures', randomUUID()], /erasure_not_found/],
    [['erasures', randomUUID(), '--after', '3'], /for lists/],
    [['retention', '--days', '3'], /--days goes with --set/],
    [['retention', '--set', 'Orders', '--days', '3'], /names no policy/],
    [['retention', '--set', 'orders'], /--days is missing/],
    [['retention', '--events-days', '3'], /--events-days goes with --set/],
    [['retention', '--set', 'a', '--days', '3', '--events-days', '2'], /events-days/],
    [['retention', '--set', 'a', '--days', '3', '--events-days', '4', '--action', 'a'], /does not go with --action/],
    [['retention', '--set', 'a', '--end', 'a'], /two things/],
    [['retention', '--end', 'orders'], /retention_not_found/],
    [['prune', '--after', '0'], /--after/],
    [['prune', '--after', '3', '--never'], /two things/],
    [['prune', '--after', '3', '--token', READER], /forbidden|does not allow/],
    [['prune', '--after', '36501'], /request_invalid/],
    [['holds', '--actor', 'x'], /--actor goes with --place/],
    [['holds', '--place', 'C-1'], /--reason is missing/],
    [['holds', '--lift', randomUUID(), '--reason', 'x'], /hold_not_found/],
  ]
  for (const [args, words] of wrong) {
    const told = await run(args)
    expect(told, args.join(' ')).toMatchObject({ code: 2, out: '', err: expect.stringMatching(words) })
  }
  expect(await found()).toBe(4)
})

test('the front of the log is published until an anchor covers that it is not', async () => {
  expect(await run(['prune'])).toMatchObject({ code: 0, out: 'The whole log is published.\n', err: '' })
  const ordered = await run(['prune', '--after', '365'])
  expect(ordered).toMatchObject({ code: 0, out: 'The whole log is published.\n' })
  expect(ordered.err).toBe('That is in the log, and counts once a final anchor covers it.\n')
  expect(JSON.parse((await run(['prune', '--never', '--json'])).out)).toEqual({ afterDays: null, pruning: null })
})

test('an asterisk that stands for nothing is told, since nothing would be found, held or let expire by it', async () => {
  const told = '--action order* is one action of just that name; all that begin alike are order.*\n'
  for (const args of [
    ['search'],
    [...ORDER, '--dry-run'],
    ['retention', '--set', 'orders', '--days', '30', '--dry-run'],
  ])
    expect((await run([...args, '--action', 'order*'])).err, args[0]).toContain(told)
  expect(await run(['search', '--action', 'order.*', '--limit', '1'])).toMatchObject({ code: 0 })
  expect((await run(['search', '--action', 'order.*', '--limit', '40'])).err).toBe('')
})

test('an id that has its type before it is told, since nothing would be found or held by it', async () => {
  const told = (name: string) =>
    `--${name} order/o-7 is an id of just that text; if it is the order o-7 that is meant, say --${name} o-7\n`
  expect((await run(['search', '--actor', 'order/o-7'])).err).toBe(told('actor'))
  expect(await run(['search', '--target', 'order/o-7'])).toMatchObject({ code: 0, out: '', err: told('target') })
  expect((await run([...ORDER, '--dry-run', '--target', 'order/o-7'])).err).toContain(told('target'))
  expect((await run(['search', '--target', 'https://o-7/x', '--actor', '/o-7'])).err).toBe('')
  // So is white space: an id may have it, and a hold would hold another.
  const spaces = '--actor is read without the white space around it; for an id that has it, ask the service over HTTP\n'
  expect((await run(['search', '--actor', ' x ', '--action', ' a.b '])).err).toBe(spaces)
})

test('what a hold covers is not erased until it is lifted', async () => {
  const placed = await run(['holds', '--place', 'C-81', '--reason', 'pending suit', '--target', 'o-7'])
  expect(placed).toMatchObject({ code: 0, err: expect.stringMatching(/covers target o-7\.\n$/) })
  const id = placed.out.trim()
  expect(rows((await run(['holds'])).out)).toMatchObject([{ id, state: 'standing', covers: { target: 'o-7' } }])
  expect((await run([...ORDER, '--dry-run'])).err).toBe(`1 event is held, by ${id}: the order would be refused.\n`)
  expect(await run([...ORDER])).toMatchObject({ code: 2, err: expect.stringMatching(/erasure_held/) })
  expect(await run(['holds', '--lift', id, '--reason', 'settled'])).toMatchObject({ code: 0, out: `${id}\n` })
  expect((await run(['holds'], { isTerminal: true })).out).toMatch(/ target o-7 +lifted\n$/)
})

test('an order is carried out, told, and made once', async () => {
  const id = randomUUID()
  const more = ['--legal-basis', 'GDPR Art. 17(1)', '--order', 'E-12', '--id', id]
  const done = await run([...ORDER, ...more, '--wait'])
  expect(done).toMatchObject({
    code: 0,
    out: `${id}\n`,
    err: expect.stringMatching(/^Fields of 4 events go.*\nIt was/),
  })
  expect(await found()).toBe(0)
  // What copies elsewhere are told: the digests that a proof says were erased.
  const named = rows((await run(['erasures', '--entries'])).out)
  expect(named).toHaveLength(4)
  for (const { erasure, leafHash, digests } of named) {
    expect(erasure).toBe(id)
    const proof = JSON.parse((await run(['proof', leafHash])).out)
    expect(proof.erasures[0].entry.digests).toEqual(digests)
  }
  expect((await run(['erasures', id, '--entries'])).out).toBe((await run(['erasures', '--entries'])).out)
  expect(await run(['erasures', '--entries', '--after', `${named[0].logIndex}`])).toEqual({ code: 0, out: '', err: '' })
  expect(JSON.parse((await run([...ORDER, ...more, '--json'])).out)).toMatchObject({ id, events: 4, state: 'done' })
  expect(rows((await run(['erasures'], { token: ERASER })).out)).toMatchObject([{ id, state: 'done', policy: null }])
  expect((await run(['erasures', id], { isTerminal: true })).out).toMatch(/ 4 +done +order\n$/)
})

test('policies are counted, set, listed and ended', async () => {
  const set = ['retention', '--set', 'orders', '--source', 'shop', '--days', '365']
  expect((await run([...set, '--dry-run'])).out).toMatch(/^0 events would lose 0 fields now; 0 events held\./)
  expect((await run(['retention'], { isTerminal: true })).out).toBe('No policy was set.\n')
  expect((await run(set)).out).toMatch(/^orders, version 1, stands by entry \d+ of the log\.\n$/)
  const listed = rows((await run(['retention'])).out)
  expect(listed).toMatchObject([{ id: 'orders', contentsDays: 365, covers: { source: 'shop' }, state: 'standing' }])
  const shown = await run(['retention'], { isTerminal: true })
  expect(shown.out).toMatch(/orders +1 +source shop +365 +stay +standing/)
  expect(shown.err).toMatch(/nothing expires/)
  const dropping = [...set, '--events-days', '730']
  expect((await run([...dropping, '--dry-run'])).out).toMatch(
    /^0 events would lose 0 fields now; 0 events held\. Nothing/,
  )
  expect((await run(dropping)).out).toMatch(/^orders, version 2, stands/)
  expect(rows((await run(['retention'])).out)).toMatchObject([{ version: 2, eventsDays: 730, dropped: 0 }])
  expect((await run(['retention'], { isTerminal: true })).out).toMatch(/orders +2 +source shop +365 +730 +standing/)
  expect((await run(['retention', '--end', 'orders'])).code).toBe(0)
  expect(rows((await run(['retention'])).out)).toMatchObject([{ id: 'orders', state: 'ended' }])
})

test('where it takes two people, what one proposes another sees and confirms', async () => {
  await service.close()
  service = await testService(await twoPeople(), service)
  const order = ['erase', '--target', 'o-3', '--fields', 'context', '--reason', 'request of the person']
  const made = await run(order, { token: ANNA })
  expect(made).toMatchObject({
    code: 0,
    err: expect.stringMatching(/^Proposed by anna, .*: to erase context of 1 event: /),
  })
  const id = made.out.trim()
  expect((await run(['erase', '--confirm', id], { token: ANNA })).err).toMatch(/second_person_required/)
  const seen = await run(['erase', '--confirm', id, '--dry-run'], { token: BEN, isTerminal: true })
  expect(seen.out).toMatch(/ shop +[0-9a-f-]{36} +context\n1 event would lose 1 field\. Nothing was changed\.\n$/)
  expect(rows((await run(['erasures', '--proposals'])).out)).toMatchObject([{ id, state: 'waiting', by: 'anna' }])
  expect(await run(['erase', '--confirm', id, '--wait'], { token: BEN })).toMatchObject({
    code: 0,
    err: 'It was carried out.\n',
  })
  expect((await run(['erasures', id], { isTerminal: true })).out).toMatch(/ 1 +done +anna and ben\n$/)
  const policy = await run(
    ['retention', '--set', 'shop', '--source', 'shop', '--days', '30', '--events-days', '60', '--json'],
    { token: BEN },
  )
  const refused = await run(['erase', '--refuse', JSON.parse(policy.out).id, '--reason', 'too soon'], { token: ANNA })
  expect(refused.err).toMatch(
    /^Proposed by ben and refused by anna, .*: the policy shop, version 1: 30 days, and events after 60 days, for source shop\. /,
  )
  const listed = await run(['erasures', '--proposals'], { isTerminal: true })
  expect(listed.out).toMatch(/ anna +to erase context .* confirmed +ben\n.* ben +the policy shop, .* refused +anna\n$/)
  const again = await run(['retention', '--set', 'shop', '--source', 'shop', '--days', '30'], { token: BEN })
  expect(again).toMatchObject({ code: 0, out: expect.stringMatching(/^[0-9a-f-]{36}\n$/) })
  expect(again.err).toMatch(/^Proposed by ben, .*: the policy shop, version 1: 30 days, /)
  // To end one takes two as well, and is not said to be done.
  expect((await run(['erase', '--confirm', again.out.trim()], { token: ANNA })).code).toBe(0)
  const end = await run(['retention', '--end', 'shop'], { token: ANNA })
  expect(end).toMatchObject({ code: 0, out: expect.stringMatching(/^[0-9a-f-]{36}\n$/) })
  expect(end.err).toMatch(/^Proposed by anna, .*shop/)
  expect(rows((await run(['retention'])).out).at(-1)).toMatchObject({ id: 'shop', state: 'standing' })
})

test('who waits for an erasure is told that the service is away, and not that it works', async () => {
  const id = randomUUID()
  let looks = 0
  const server = createServer((request, response) => {
    const isLook = request.method === 'GET'
    if (isLook && ++looks === 1) return void request.socket.destroy()
    response.writeHead(isLook ? 200 : 202, { 'content-type': 'application/json' })
    response.end(JSON.stringify({ id, events: 4, logIndex: 7, state: isLook ? 'done' : 'open' }))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const { code, err } = await killickAsked([...ORDER, '--wait', '--url', url, '--token', ERASER], [])
  server.close()
  expect(code).toBe(0)
  expect(err).toMatch(/waiting for the service, which cannot be reached: 4 events, \d s.*It was carried out\./s)
})
