import { auditRequests } from '@killick/sdk/next'
import { headers } from 'next/headers'
import { userOf } from './invoices.js'

export { DeniedError } from '@killick/sdk/kit'
export { requestEvent } from '@killick/sdk/next'

const options = { actor: userOf, headers, record: ({ outcome }) => outcome === 'denied', responseWaits: true }

/** Wraps handlers, actions and the proxy. No answer leaves before its event is on disk. */
export const audited = auditRequests(() => globalThis.audit, options)
