import { NextResponse } from 'next/server'
import { audited } from './lib/audited.js'
import { userOf } from './lib/invoices.js'

/** Nobody passes who has not signed in; who was refused is recorded. */
export const proxy = audited.proxy((request) =>
  userOf(request) ? NextResponse.next() : NextResponse.json({ error: 'not signed in' }, { status: 401 }),
)
