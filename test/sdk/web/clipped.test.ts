// Routes that are too long to stand whole in an event.
import { auditRequests } from '@killick/sdk/fastify'
import { createAudit } from '@killick/sdk/kit'
import fastify from 'fastify'
import { expect, test } from 'vitest'
import { openTestLog } from '../../../sdk/src/testing/index.ts'

test('a long route is cut between characters, wherever the limit falls', async () => {
  const log = await openTestLog()
  const app = fastify()
  await app.register(auditRequests(createAudit(log, { onMissingActor: 'allow' }), { record: true }) as never)
  const routes = ['/', '/a', '/ab', '/abc'].map((start) => start + '\u{1f600}'.repeat(300))
  for (const route of routes) app.get(route, async () => 'ok')
  for (const route of routes) expect((await app.inject(encodeURI(route))).statusCode).toBe(200)
  await expect.poll(() => log.events().length).toBe(routes.length)
  for (const { action, targets } of log.events()) {
    expect([action, targets[0]!.id].map((text) => text.isWellFormed() && text.endsWith('…'))).toEqual([true, true])
  }
  await app.close()
  await log.close()
})
