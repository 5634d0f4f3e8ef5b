import { connection } from 'next/server'
import { invoices } from '../lib/invoices.js'
import { cancel } from './actions.js'

export default async function Page() {
  await connection()
  return [...invoices.values()].map(({ id, state }) => (
    <form key={id} action={cancel}>
      {`${id} ${state}`} <input type="hidden" name="id" value={id} />
      <button type="submit">Cancel</button>
    </form>
  ))
}
