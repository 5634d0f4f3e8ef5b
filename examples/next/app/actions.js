'use server'
import { revalidatePath } from 'next/cache'
import { headers } from 'next/headers'
import { audited, DeniedError, requestEvent } from '../lib/audited.js'
import { invoices, userOf } from '../lib/invoices.js'

export const cancel = audited.action({ action: 'invoice.cancel' }, async (form) => {
  const id = form.get('id')
  requestEvent().set({ target: { type: 'invoice', id } })
  if (userOf({ headers: await headers() }).role !== 'manager') throw new DeniedError('only managers cancel invoices')
  invoices.get(id).state = 'cancelled'
  revalidatePath('/')
})
