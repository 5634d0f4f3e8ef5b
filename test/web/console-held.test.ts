// What the console says of an event that a hold covers, and of an anchor that did not come to be.
import type { EventInput } from '@killick/sdk/core'
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { recordSome, tamper } from '../anchor-service/audit/support/audits.ts'
import { newSigner, Producer, post } from '../anchor-service/support/producer.ts'
import { ADMIN, call, READER, register, type TestService, testService } from '../anchor-service/support/service.ts'
import { builtPage } from '../support/page.ts'
import { browserAvailable, launch, violations, watch } from './browser.ts'

let service: TestService
let browser: Browser | null

beforeAll(async () => {
  ;[service, browser] = await Promise.all([testService(), browserAvailable() ? launch() : null, builtPage()])
})
afterAll(async () => {
  await browser?.close()
  await service?.stop()
})

async function signIn() {
  const { page } = await watch(await browser!.newContext({ viewport: { width: 360, height: 740 } }))
  await page.goto(`${service.url}/console/`)
  await page.fill('#token', READER)
  await page.click('button:text("Sign in")')
  await page.locator('h1:text("Overview")').waitFor()
  return page
}

test.skipIf(!browserAvailable())('an event says which holds cover it, for as long as they stand', async () => {
  const event = (id: string): EventInput => ({
    ...{ action: 'order.pay', actor: { type: 'user', id: 'u-1' }, targets: [{ type: 'order', id }] },
  })
  const shop = new Producer('shop', newSigner(), 'till')
  await register(service.url, 'shop', [{ jwk: shop.signer.jwk }])
  const batch = await shop.batch([event('o-1'), event('o-2')])
  expect((await post(service.url, batch.body)).status).toBeLessThan(300)
  const headers = { 'content-type': 'application/json' }
  const place = async (covers: object) => {
    const body = JSON.stringify({ case: 'C-7', reason: 'a dispute', covers })
    return (await call(service.url, '/v1/holds', ADMIN, { method: 'POST', headers, body })).json.id as string
  }
  const [first] = [await place({ target: 'o-1' }), await place({ source: 'shop', to: '2020-01-01T00:00:00Z' })]

  const page = await signIn()
  const open = async (seq: number) => {
    await page.goto(`${service.url}/console/#/event/shop/till/${seq}`)
    await page.locator(`h1:has-text("on order o-${seq + 1}")`).waitFor()
  }
  await open(0)
  expect(await page.innerText('main dl')).toMatch(/Held\s+by 1 hold, placed .* UTC: what it holds is neither erased/)
  expect(await violations(page)).toEqual([])
  expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(360)
  await open(1)
  expect(await page.innerText('main dl')).not.toMatch(/Held/)

  // Who follows the link reads whose case it is.
  await open(0)
  await page.click('main dl a:has-text("placed")')
  await page.click('tbody a:has-text("hold.place")')
  await page.locator('h1:has-text("hold.place")').waitFor()
  expect(await page.innerText('main')).toContain('C-7')

  await call(service.url, `/v1/holds/${first}?reason=settled`, ADMIN, { method: 'DELETE' })
  await open(0)
  expect(await page.innerText('main dl')).not.toMatch(/Held/)
})

test.skipIf(!browserAvailable())('why an anchor did not come to be is read without a pointer', async () => {
  await recordSome(service, 1, 1)
  const { logSize } = (await call(service.url, '/readyz')).json
  await tamper(
    service,
    `insert into anchors (target, chain_id, genesis, contract, log_id, size, events, root)
       select 'default', 1, '', '0x1', '0x2', size, 1, root from checkpoints where size = ${logSize};
     insert into anchor_states (anchor, seq, state, detail)
       select id, 0, 'abandoned', 'The contract holds size 99 already.' from anchors`,
  )
  const page = await signIn()
  await page.goto(`${service.url}/console/#/anchors`)
  const state = page.locator('tbody tr td').nth(1)
  await state.waitFor()
  expect(await state.innerText()).toMatch(/^abandoned\s+The contract holds size 99 already\.$/)
  expect(await violations(page)).toEqual([])
  expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(360)
})

test.skipIf(!browserAvailable())(
  'an anchor that is on its way says how far, since when, and of which log',
  async () => {
    await recordSome(service, 1, 1)
    const { logSize } = (await call(service.url, '/readyz')).json
    const states = ['signed', 'replaced', 'broadcast', 'mined', 'reorganised', 'final']
    const insert = states.map(
      (state, i) =>
        `insert into anchors (target, chain_id, genesis, contract, log_id, size, events, root)
         select 't-${state}', 1, '', '0x1', '0x2345678${i}', size, 1, root from checkpoints where size = ${logSize};
       insert into anchor_states (anchor, seq, state, transaction, block, time) select max(id), 0, '${state}', '0x1', 1, 1 from anchors`,
    )
    await tamper(service, insert.join(';'))
    const page = await signIn()
    await page.setViewportSize({ width: 1200, height: 900 })
    await page.goto(`${service.url}/console/#/anchors`)
    const told = async (state: string) => {
      const row = page.locator(`tbody tr:has(.whole bdi:text-is("${state}"))`)
      await row.waitFor()
      return (await row.locator('td').allInnerTexts()).slice(1, 4)
    }
    const since = 'since \\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d:\\d\\d$'
    expect((await told('signed'))[0]).toMatch(new RegExp(`^signed\\s+not sent yet\\s+${since}`))
    expect((await told('replaced'))[0]).toMatch(new RegExp(`signed again with a higher fee, not sent yet\\s+${since}`))
    expect((await told('broadcast'))[0]).toMatch(new RegExp(`sent, in no block yet\\s+${since}`))
    expect((await told('mined'))[0]).toMatch(new RegExp(`in a block, but not deep enough to count\\s+${since}`))
    expect((await told('reorganised'))[0]).toMatch(new RegExp(`^reorganised\\s+${since}`))
    expect((await told('final'))[0]).toBe('final')
    expect((await told('final'))[2]).toMatch(/\s+log 0x23456785…$/)
    // Half a word reads as another.
    const lines = await page.locator('.whole').evaluateAll((all) => all.map((word) => word.getClientRects().length))
    expect(new Set(lines)).toEqual(new Set([1]))
    expect(await violations(page)).toEqual([])
  },
)
