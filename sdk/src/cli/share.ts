import { revokeShare, shareEvent } from '../client/share.ts'
import { parseEvent } from '../core/event.ts'
import { MAX_PROOF_BYTES, parseProof } from '../core/proof.ts'
import { parseTime } from '../core/time.ts'
import { type Access, accessOf, openAccess, withToken } from './access.ts'
import { type Command, EXIT, readArgs, UsageError } from './command.ts'
import { SHARE } from './table/reading.ts'
import { err, out } from './terminal.ts'

/**
 * Without the outcome a denied action would look like one that was done; without the time it would look like one of another day.
 */
const USUAL = ['action', 'actor', 'targets', 'outcome', 'occurredAt']

export const share: Command = {
  run: async (args) => {
    const given = readArgs(SHARE, args)
    const { values, positionals } = given
    const access = accessOf(SHARE, given)
    const { url, token } = withToken(access)
    const service = { url, token }
    if (values.revoke !== undefined) {
      if (positionals[0] !== undefined) throw new UsageError(`Unexpected argument ${positionals[0]}`)
      await revokeShare(service, values.revoke)
      err(`Link ${values.revoke} is withdrawn.`)
      return EXIT.ok
    }
    if (positionals[0] === undefined) throw new UsageError('<event> is missing')
    const expires = values.expires?.replace(/^\d{4}-\d\d-\d\d$/, '$&T00:00:00Z')
    if (expires !== undefined && parseTime(expires) === null)
      throw new UsageError('--expires is not a time such as 2027-01-31 or 2027-01-31T12:00:00Z')
    const event = positionals[0]
    const fields = values.fields?.split(',').filter((name) => name !== '') ?? (await usualFields(access, event))
    const made = await shareEvent(service, event, {
      fields,
      ...(expires !== undefined && { expires }),
    })
    out(made.url)
    err(
      `Shows ${made.fields.join(', ') || 'no field'}${made.expires === null ? '' : ` until ${made.expires}`}; withdraw it with: killick share --revoke ${made.id}`,
    )
    return EXIT.ok
  },
}

/** The usual fields that the event has: the service refuses to show a field that does not exist. */
async function usualFields(access: Access, event: string): Promise<string[]> {
  const bytes = await openAccess(access).bytes(`/v1/proofs/${encodeURIComponent(event)}`, MAX_PROOF_BYTES)
  const { fields } = parseEvent(parseProof(bytes).event)
  return USUAL.filter((name) => Object.hasOwn(fields, name))
}
