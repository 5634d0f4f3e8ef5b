// The page against the vectors. What a vector says of the chain cannot be given to a page, which asks nodes by itself: so it
// is left unasked, every other check must end as the vector says, and nothing may be green.
import { hash } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { concat, toBase64url, utf8, verifySignature } from '@killick/sdk/core'
import { build } from 'esbuild'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { packFragment, unpackFragment } from '../../anchor-service/web/shared/fragment.ts'
import { signerFor } from '../../scripts/lib/vectors/keys.ts'
import { Ed25519 } from '../../sdk/src/core/curves.ts'
import { buildAlone } from '../support/page.ts'
import { vectors } from '../support/vectors.ts'
import { browserAvailable, host, launch, watch } from './browser.ts'

type Read = { description: string; proof: string; trust: { facts?: unknown[] }; failed: string[]; skipped: string[] }
type Unreadable = { description: string; proof: string; code: string }
type Shown = { state: string; tone: string; text: string; checks: Record<string, string> }

const cases = vectors<(Read | Unreadable)[]>('proofs')
const readable = cases.filter((v) => 'trust' in v)
const OF_THE_CHAIN = /^(anchor\.\d+\.(contract|block|final|before)|event\.time)$/
/** Whether an earlier anchor is earlier needs no chain. Pins and registrations that end are held against its times. */
const OF_ORDER = /^before: it /
const OF_TIME = /^(pin: |registration: its key )/

describe.skipIf(!browserAvailable())('the page and the vectors of proofs', () => {
  let folder: string
  let site: Awaited<ReturnType<typeof host>>
  let browser: Browser
  let page: Page
  let complaints: string[]

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'killick-vectors-'))
    ;[browser] = await Promise.all([launch(), buildAlone(folder)])
    site = await host(folder)
    ;({ page, complaints } = await watch(await browser.newContext()))
  })
  afterAll(async () => {
    await browser?.close()
    await site?.close()
    await rm(folder, { recursive: true, force: true })
  })

  /** The page anew, published by someone who pins this. */
  async function publish(trust: object): Promise<void> {
    await writeFile(join(folder, 'trust.json'), JSON.stringify(trust))
    await page.goto('about:blank')
    await page.goto(site.url)
    await page.locator('.welcome').waitFor()
  }

  /** What becomes of a proof that is opened in the page as it stands. */
  async function show(proof: string): Promise<Shown> {
    await page.evaluate(
      `document.getElementById('above').replaceChildren(); location.hash = '${await packFragment(proof)}'`,
    )
    await page.locator('#above [data-state]').waitFor()
    return page.evaluate<Shown>(`({
      state: document.querySelector('#above [data-state]').dataset.state,
      tone: document.querySelector('#above .banner').className,
      text: document.querySelector('#above').textContent,
      checks: Object.fromEntries([...document.querySelectorAll('[data-check]')].map((check) =>
        [check.dataset.check, ['passed', 'failed', 'skipped'].find((status) => check.classList.contains(status))])),
    })`)
  }

  test('what a browser has of signatures takes no R that others refuse', async () => {
    const { outputFiles } = await build({
      entryPoints: [join(import.meta.dirname, '../../anchor-service/web/page/bundle/signatures.ts')],
      ...{
        bundle: true,
        write: false,
        format: 'iife',
        globalName: 'signatures',
        platform: 'browser',
        logLevel: 'silent',
      },
    })
    // Under the key of the secret scalar 1, [S]B = R + [k]A holds for R the identity and S = k.
    const key = Ed25519.BASE.toBytes()
    const identity = Ed25519.ZERO.toBytes()
    const input = utf8('message')
    const k = hash('sha512', Buffer.concat([identity, key, input]), 'buffer')
    const s = Ed25519.Fn.toBytes(Ed25519.Fn.create(BigInt(`0x${Buffer.from(k).reverse().toString('hex')}`)))
    const forged = { jwk: { kty: 'OKP', crv: 'Ed25519', x: toBase64url(key) } as const, bytes: concat(identity, s) }
    const signer = signerFor('any')
    const good = { jwk: signer.jwk, bytes: await signer.sign(input) }
    expect(verifySignature(forged.jwk, input, forged.bytes)).toBe(false)
    await page.goto(site.url)
    const asked = [forged, good].map(
      ({ jwk, bytes }) =>
        `check(${JSON.stringify(jwk)}, { input: new Uint8Array([${input}]), bytes: new Uint8Array([${bytes}]) })`,
    )
    const found = await page.evaluate(
      `(() => { ${outputFiles[0]!.text}; const check = signatures.signatureChecker(); return Promise.all([${asked}, !!crypto.subtle]) })()`,
    )
    expect(found).toEqual([false, true, true])
  })

  const groups = [...Map.groupBy(readable, ({ trust: { facts: _, ...pins } }) => JSON.stringify(pins))]
  test.each(groups.map(([pins, group]) => ({ first: group[0]!.description, pins, group })))(
    'verdicts under the pins of: $first',
    async ({ pins, group }) => {
      await publish(JSON.parse(pins))
      for (const [proof, same] of Map.groupBy(group, (v) => v.proof)) {
        const { tone, state, checks } = await show(proof)
        for (const { description, trust, failed, skipped } of same) {
          const isTold = (id: string) =>
            trust.facts === undefined ||
            !(
              (OF_THE_CHAIN.test(id) && !(OF_ORDER.test(description) && id.endsWith('.before'))) ||
              (OF_TIME.test(description) && id.startsWith('source.')) ||
              // Where only a pinned contract vouches for the log, the chain is needed for it to pass.
              (id === 'source.registration' && !failed.includes(id))
            )
          const statusOf = (id: string) =>
            failed.includes(id) ? 'failed' : skipped.includes(id) ? 'skipped' : 'passed'
          const told = Object.keys(checks).filter(isTold)
          expect(told.length, description).toBeGreaterThanOrEqual(7)
          expect(Object.fromEntries(told.map((id) => [id, checks[id]])), description).toEqual(
            Object.fromEntries(told.map((id) => [id, statusOf(id)])),
          )
          expect(
            failed.filter(isTold).every((id) => id in checks),
            description,
          ).toBe(true)
          expect(tone.includes('bad'), `${description}: ${state}`).toBe(failed.some(isTold))
          expect(tone, description).not.toMatch(/good|word/)
        }
      }
      expect(complaints).toEqual([])
    },
  )

  test('a link with a proof leaves out what the log says of keys only where that changes nothing', async () => {
    const kept = async (description: string): Promise<boolean> => {
      const { proof, trust } = readable.find((v) => v.description === description)!
      const { facts: _, ...pins } = trust
      await publish(pins)
      await show(proof)
      await page.locator('.paper .link code:not(:empty)').waitFor({ state: 'attached' })
      const link = await page.textContent('.paper .link code')
      const text = new TextDecoder().decode(await unpackFragment(new URL(link!).hash))
      return (JSON.parse(text) as object & { registrations?: unknown }).registrations !== undefined
    }
    expect(await kept('a registration that promises a heartbeat')).toBe(false)
    expect(await kept('registration: later than the event')).toBe(true)
    expect(await kept('registered before it was used, and anchored before and after')).toBe(true)
    expect(await kept('registration: neither the log nor its contract is pinned')).toBe(true)
  })

  test('proofs that cannot be read are refused for the same reason', async () => {
    await publish({})
    for (const { description, proof, code } of cases.filter((v) => 'code' in v)) {
      const { state, text } = await show(proof)
      expect(state, description).toBe('unreadable')
      expect(text, description).toContain(code)
    }
    expect(complaints).toEqual([])
  })
})
