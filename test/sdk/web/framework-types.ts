// Compiled, not run: the adapters fit the types of the framework that is installed here.

import { audited, auditRequests, type FastifyAuditRequest } from '@killick/sdk/fastify'
import type { Audit } from '@killick/sdk/kit'
import type { FastifyInstance } from 'fastify'

export async function onFastify(app: FastifyInstance, audit: Audit): Promise<void> {
  type Asking = FastifyAuditRequest & { params: { id: string } }
  await app.register(auditRequests(audit, { responseWaits: true }))
  const target = ({ params }: Asking) => ({ type: 'invoice', id: params.id })
  app.get('/', { config: audited({ action: 'invoice.read', target }) }, async () => 'done')
  // @ts-expect-error: no such option
  auditRequests(audit, { responseWait: true })
}
