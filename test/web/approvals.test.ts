// The console leads to calls that wait for a person: a real recorder, its page, and a browser.
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { makeEmitterKey } from '@killick/gateway'
import { generateKey, openAuditLog, type PrivateJwk, publicJwk } from '@killick/sdk'
import { expect, onTestFinished, test } from 'vitest'
import { call, READER, register, testService } from '../anchor-service/support/service.ts'
import { begin, world } from '../gateway/mcp/support.ts'
import { builtPage } from '../support/page.ts'
import { browserAvailable, launch, violations, watch } from './browser.ts'

test.skipIf(!browserAvailable())(
  'a call that waits is shown, and decided behind a link that the operator knows',
  {
    timeout: 90_000,
  },
  async () => {
    const [browser] = await Promise.all([launch(), builtPage()])
    onTestFinished(() => browser.close())
    const service = await testService({ KILLICK_APPROVAL_URLS: 'https://approve.example.com' })
    onTestFinished(() => service.stop())
    const { key, entry } = makeEmitterKey()
    const it = await world({
      ...{ url: service.url, policy: { approve: ['echo'] }, limits: { drainMs: 20_000 } },
      approvals: { approvers: [{ name: 'ada@example.com', key: entry }] },
    })
    const own = JSON.parse(await readFile(join(it.folder, 'key.json'), 'utf8')) as PrivateJwk
    await register(service.url, 'agents', [{ jwk: publicJwk(own) }])

    const context = await browser.newContext({ viewport: { width: 1280, height: 900 } })
    // Machines of people tell any time.
    await context.addInitScript('{ const now = Date.now; Date.now = () => now() + 31_536_000_000 }')
    const { page, complaints } = await watch(context)
    await page.goto(`${service.url}/console/#/approvals`)
    await page.fill('#token', READER)
    await page.click('button:text("Sign in")')
    await page.locator('.empty:has-text("No call waits.")').waitFor()

    const session = begin(it)
    session.send({
      ...{ jsonrpc: '2.0', id: 1, method: 'tools/call' },
      params: { name: 'echo', arguments: { path: '/tmp/x' } },
    })
    const link = page.locator('a:text("Look and decide")')
    await link.waitFor()
    expect(await page.innerText('tbody tr')).toMatch(/echo[\s\S]*approve[\s\S]*agents[\s\S]*on this machine/)
    await page.goto(`${service.url}/console/#/home`)
    await page.click('a:text("A call of an agent waits")')

    // Whoever has a key of a source can name any address. People enter their keys there.
    const evil = generateKey()
    await register(service.url, 'elsewhere', [{ jwk: publicJwk(evil) }])
    const spool = await mkdtemp(join(tmpdir(), 'killick-approvals-'))
    onTestFinished(() => rm(spool, { recursive: true }))
    const log = await openAuditLog({ url: service.url, source: 'elsewhere', key: evil, spool })
    const until = new Date(Date.now() + 600_000).toISOString()
    const bad = [
      'https://evil.example/approve/x',
      'https://approve.example.com.evil.example/approve/x',
      'javascript:1',
      '',
    ]
    for (const address of [...bad, 'https://approve.example.com/approve/x'])
      await log.record({
        ...{ action: 'mcp.approval', actor: { type: 'agent', id: 'a' }, targets: [{ type: 'mcp-tool', id: 'pay' }] },
        metadata: { mcp: { kind: 'approval', verdict: 'waits', intent: address, until, link: address } },
      })
    // A decision of another stream decides nothing, whatever call it names; and what is too late to decide does not wait.
    const { events } = (await call(service.url, '/v1/events?action=mcp.approval&source=agents', READER)).json
    const { metadata, targets } = events[0].fields
    expect(metadata.mcp.verdict).toBe('waits')
    await log.record({
      ...{ action: 'mcp.approval', actor: { type: 'user', id: 'eve' }, targets, outcome: 'success' },
      metadata: { mcp: { ...metadata.mcp, verdict: 'approved', vouchedBy: 'key' } },
    })
    const about = {
      action: 'mcp.approval',
      actor: { type: 'agent', id: 'a' },
      targets: [{ type: 'mcp-tool', id: 'old' }],
    }
    await log.record({ ...about, metadata: { mcp: { verdict: 'waits', intent: 'y', until: '2026-01-01T00:00:00Z' } } })
    // Of a recorder that was killed nothing else is heard than that the call has ended.
    const lost = { ...about, targets: [{ type: 'mcp-tool', id: 'lost' }] }
    await log.record({ ...lost, metadata: { mcp: { verdict: 'waits', intent: 'z', until } } })
    const why = { state: 'unknown', why: 'recorder_was_killed', intent: 'z' }
    await log.record({ ...lost, action: 'mcp.tools.call.result', metadata: { mcp: why } })
    await log.close()
    await page.locator('tr:has-text("pay"):has-text("in 9 minutes")').nth(4).waitFor()
    await page.locator('tr:has-text("lost")').waitFor({ state: 'detached' })
    expect(await page.locator('tr:has-text("old")').count()).toBe(0)
    await page.locator('tr:has-text("echo"):has-text("eve"):has-text("elsewhere")').waitFor()
    const hrefs = await page
      .locator('td a[target=_blank]')
      .evaluateAll((all) => all.map((each) => [each.getAttribute('href'), each.getAttribute('rel')]))
    expect(hrefs).toHaveLength(2)
    expect(hrefs).toContainEqual(['https://approve.example.com/approve/x', 'noopener noreferrer'])
    expect(await page.locator('td:has-text("evil.example, which is not among KILLICK_APPROVAL_URLS")').count()).toBe(2)
    expect(await violations(page)).toEqual([])
    await page.setViewportSize({ width: 320, height: 640 })
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(320)

    const row = page.locator('tr:has-text("echo"):has-text("agents")')
    const [desk] = await Promise.all([page.context().waitForEvent('page'), row.locator('a[target=_blank]').click()])
    await desk.fill('input[name=key]', key)
    await desk.click('button:text("Approve")')
    await desk.locator('[role=status]:has-text("Approved and recorded")').waitFor()
    const answer = await session.next((message) => message.id === 1)
    expect(JSON.parse(answer.result.content[0].text)).toEqual({ path: '/tmp/x' })
    await page.locator('tr:has-text("echo"):has-text("approved"):has-text("ada@example.com")').waitFor()
    expect(await row.count()).toBe(1)
    expect(await session.end()).toBe(0)
    expect(complaints).toEqual([])
  },
)
