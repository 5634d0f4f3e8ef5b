// In place of a database; on globalThis, for Next gives each entry of an application a copy of its modules.
globalThis.invoices ??= new Map(['2026-0042', '2026-0044'].map((id) => [id, { id, state: 'open', amount: 1200 }]))

/** @type {Map<string, { id: string, state: string, amount: number }>} */
export const invoices = globalThis.invoices

/** In place of a session: who is asking. */
export function userOf({ headers }) {
  const [id, role = 'clerk'] = (headers.get('x-user') ?? '').split(':')
  return id ? { type: 'user', id, role } : undefined
}
