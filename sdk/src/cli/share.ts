import { revokeShare, shareEvent } from '../client/share.ts'
import { type Command, EXIT, readArgs, required, UsageError } from './command.ts'
import { err, out } from './terminal.ts'

/** What every event has. */
const USUAL = 'action,actor,targets'

export const share: Command = {
  summary: 'make a link that shows an event and its proof, or withdraw one',
  help: `killick share: make a link that shows an event and its proof, or withdraw one

Usage: killick share <event> [--fields <names>] [--expires <time>] [--url <url>] [--token <token>]
       killick share --revoke <share> [--url <url>] [--token <token>]

Whoever has the link sees the chosen fields and can check in their own browser that they are genuine; the other fields stay
hidden, also from the proof behind the link. The link is printed once: the service keeps only a hash of it.

  --fields <names>   fields to show, separated by commas; default ${USUAL}
  --expires <time>   when the link stops working, as 2027-01-31 or an RFC 3339 time; default never
  --revoke <share>   withdraw the link with this id for good
  --url <url>        the service; or KILLICK_URL
  --token <token>    a reader token of the service; or KILLICK_TOKEN, which keeps it out of the list of processes

Exit codes: 0 done · 2 wrong usage, or refused · 3 the service could not be reached

Examples:
  killick share 0192f0c1-7b1a-7c3e-9f00-5b1f6a3c2d10 --fields action,targets --expires 2027-01-31
  killick share --revoke 3f0c2a5e-5a52-4b6e-9d0a-0d8a4c1f7e21
`.trimEnd(),
  run: async (args) => {
    const { values, positionals } = readArgs(
      args,
      {
        fields: { type: 'string', default: USUAL },
        ...{ expires: { type: 'string' }, revoke: { type: 'string' } },
        ...{ url: { type: 'string' }, token: { type: 'string' } },
      },
      args.some((arg) => arg.startsWith('--revoke')) ? [] : ['event'],
    )
    const service = {
      url: required(values.url, 'url', 'KILLICK_URL'),
      token: required(values.token, 'token', 'KILLICK_TOKEN'),
    }
    if (values.revoke !== undefined) {
      await revokeShare(service, values.revoke)
      err(`Link ${values.revoke} is withdrawn.`)
      return EXIT.ok
    }
    if (values.expires !== undefined && Number.isNaN(Date.parse(values.expires)))
      throw new UsageError('--expires is not a time such as 2027-01-31 or 2027-01-31T12:00:00Z')
    const fields = values.fields.split(',').filter((name) => name !== '')
    const made = await shareEvent(service, positionals[0]!, {
      fields,
      ...(values.expires !== undefined && { expires: values.expires }),
    })
    out(made.url)
    err(
      `Shows ${made.fields.join(', ') || 'no field'}${made.expires === null ? '' : ` until ${made.expires}`}; withdraw it with: killick share --revoke ${made.id}`,
    )
    return EXIT.ok
  },
}
