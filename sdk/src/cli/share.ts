import { revokeShare, shareEvent } from '../client/share.ts'
import { parseEvent } from '../core/event.ts'
import { MAX_PROOF_BYTES, parseProof } from '../core/proof.ts'
import { parseTime } from '../core/time.ts'
import { ACCESS_HELP, ACCESS_OPTIONS, type Access, accessOf, openAccess } from './access.ts'
import { type Command, EXIT, readArgs, UsageError } from './command.ts'
import { err, out } from './terminal.ts'

/**
 * Without the outcome a denied action would look like one that was done; without the time it would look like one of another day.
 */
const USUAL = ['action', 'actor', 'targets', 'outcome', 'occurredAt']

export const share: Command = {
  summary: 'make a link that shows an event and its proof, or withdraw one',
  help: `killick share: make a link that shows an event and its proof, or withdraw one

Usage: killick share <event> [--fields <names>] [--expires <time>] [--url <url>] [--token <token>]
       killick share --revoke <share> [--url <url>] [--token <token>]

Anyone who has the link sees the chosen fields and can check in their own browser that they are genuine. The other fields stay
hidden; the proof behind the link does not hold them either. The link is printed once: the service keeps only a hash of it.

  --fields <names>   fields to show, separated by commas; default ${USUAL.join(',')},
                     as far as the event has them
  --expires <time>   when the link stops working: an RFC 3339 time, or a day such as 2027-01-31 (its start, UTC); default never
  --revoke <share>   withdraw the link with this id permanently
${ACCESS_HELP}

Exit codes: 0 done · 2 wrong usage, or refused · 3 the service could not be reached

Examples:
  killick share 0192f0c1-7b1a-7c3e-9f00-5b1f6a3c2d10 --fields action,targets --expires 2027-01-31
  killick share --revoke 3f0c2a5e-5a52-4b6e-9d0a-0d8a4c1f7e21
`.trimEnd(),
  run: async (args) => {
    const { values, positionals } = readArgs(
      args,
      {
        fields: { type: 'string' },
        ...{ expires: { type: 'string' }, revoke: { type: 'string' } },
        ...ACCESS_OPTIONS,
      },
      args.some((arg) => arg.startsWith('--revoke')) ? [] : ['event'],
    )
    const access = accessOf(values)
    const { url, token } = access
    if (token === undefined) throw new UsageError(access.hint ?? '--token is missing (or set KILLICK_TOKEN)')
    const service = { url, token }
    if (values.revoke !== undefined) {
      await revokeShare(service, values.revoke)
      err(`Link ${values.revoke} is withdrawn.`)
      return EXIT.ok
    }
    const expires = values.expires?.replace(/^\d{4}-\d\d-\d\d$/, '$&T00:00:00Z')
    if (expires !== undefined && parseTime(expires) === null)
      throw new UsageError('--expires is not a time such as 2027-01-31 or 2027-01-31T12:00:00Z')
    const event = positionals[0]!
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
