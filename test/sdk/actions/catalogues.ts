// A module of an application, as the command line loads it.
import { toStandardJsonSchema } from '@valibot/to-json-schema'
import * as v from 'valibot'
import { defineActions } from '../../../sdk/src/actions/index.ts'

const metadata = toStandardJsonSchema(v.object({ amount: v.number(), to: v.optional(v.pipe(v.string(), v.email())) }))
const refund = {
  about: 'Money goes back.',
  target: 'invoice',
  requires: ['reason'],
  metadata,
  severity: 'high',
} as const

export const first = defineActions({ 'invoice.refund': refund }, { version: '1' })
export const second = defineActions({ 'invoice.refund': refund, 'session.start': { target: null } }, { version: '2' })
export const changed = defineActions({ 'session.start': {} }, { version: '2' })
export const unnamed = defineActions({ 'session.start': {} })
