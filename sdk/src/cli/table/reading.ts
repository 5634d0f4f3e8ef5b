import { command } from './entry.ts'
import { ACCESS, ASKING } from './options.ts'

export const PROOF = command({
  name: 'proof',
  summary: 'fetch the proof of an event',
  usage: ['proof <event> [--out <file>] [--url <url>] [--token <token>]'],
  arguments: [{ name: 'event' }],
  about: [
    '<event> is the event’s id (a UUID) or its leaf hash (43 characters). The proof is one JSON document that anyone can check with killick verify, without asking the service again. It shows every field of the event that the service still holds.',
  ],
  options: { out: { value: 'file', complete: 'file', about: 'write to a file instead of stdout' }, ...ACCESS },
  exits: [
    [0, 'written'],
    [2, 'wrong usage, or no such event'],
    [3, 'the service could not be reached'],
  ],
  examples: [
    'killick proof 0192f0c1-7b1a-7c3e-9f00-5b1f6a3c2d10 --url http://127.0.0.1:8787 --out proof.json',
    'killick proof 0192f0c1-7b1a-7c3e-9f00-5b1f6a3c2d10 | killick verify - --rpc https://rpc.example.com',
  ],
})

export const SHARE = command({
  name: 'share',
  summary: 'make a link that shows an event and its proof, or withdraw one',
  usage: [
    'share <event> [--fields <names>] [--expires <time>] [--url <url>] [--token <token>]',
    'share --revoke <share> [--url <url>] [--token <token>]',
  ],
  arguments: [{ name: 'event', optional: true }],
  about: [
    'Anyone who has the link sees the chosen fields and can check in their own browser that they are genuine. The other fields stay hidden; the proof behind the link does not hold them either. The link is printed once: the service keeps only a hash of it.',
  ],
  options: {
    fields: {
      value: 'names',
      about:
        'fields to show, separated by commas; default action,actor,targets,outcome,occurredAt, as far as the event has them',
    },
    expires: {
      value: 'time',
      about:
        'when the link stops working: an RFC 3339 time, or a day such as 2027-01-31 (its start, UTC); default never',
    },
    revoke: { value: 'share', about: 'withdraw the link with this id permanently' },
    ...ACCESS,
  },
  exits: [[0, 'done'], ...ASKING],
  examples: [
    'killick share 0192f0c1-7b1a-7c3e-9f00-5b1f6a3c2d10 --fields action,targets --expires 2027-01-31',
    'killick share --revoke 3f0c2a5e-5a52-4b6e-9d0a-0d8a4c1f7e21',
  ],
})

export const ANCHORS = command({
  name: 'anchors',
  summary: 'list anchors: what became of them, and what they cost',
  usage: ['anchors [--limit <n>] [--url <url>] [--token <token>]'],
  about: [
    'Lists the newest anchors first, on the service’s word; killick audit compares them with the chain. Only a confirmed or final anchor counts. Any other is pending and is sent again until it counts, even after it was reorganised or dropped; an abandoned anchor never counts. Fees are in gwei of the chain’s own currency, per event over the events that the anchor is the first to cover.',
  ],
  options: {
    limit: { value: 'n', default: '50', about: 'how many to list, the newest; default 50' },
    ...ACCESS,
    json: { about: 'print the list as JSON, with fees in wei' },
  },
  exits: [[0, 'listed'], ...ASKING],
  examples: ['killick anchors --url http://127.0.0.1:8787 --limit 10'],
})
