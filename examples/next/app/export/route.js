import { audited } from '../../lib/audited.js'
import { invoices } from '../../lib/invoices.js'

export const GET = audited.route({ action: 'invoice.export', route: '/export' }, async () => {
  await new Promise((resolve) => setTimeout(resolve, 200))
  return Response.json([...invoices.values()])
})
