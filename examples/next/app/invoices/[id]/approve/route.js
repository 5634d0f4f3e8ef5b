import { notFound } from 'next/navigation'
import { audited, DeniedError, requestEvent } from '../../../../lib/audited.js'
import { invoices, userOf } from '../../../../lib/invoices.js'

const event = { action: 'invoice.approve', route: '/invoices/[id]/approve' }

export const POST = audited.route(event, async (request, { params }) => {
  const { id } = await params
  requestEvent().set({ target: { type: 'invoice', id } })
  const invoice = invoices.get(id)
  if (!invoice) notFound()
  if (userOf(request).role !== 'manager') throw new DeniedError('only managers approve invoices')
  const before = invoice.state
  invoice.state = 'approved'
  requestEvent().set({ changes: [{ path: '/state', before, after: invoice.state }] })
  return Response.json(invoice)
})
