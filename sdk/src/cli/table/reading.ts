import { command } from './entry.ts'
import { ACCESS, ASKING, CONDITIONS, JSON_FAILURE, JSON_LINES, SUBJECT_KEYS } from './options.ts'

export const SEARCH = command({
  name: 'search',
  summary: 'search events, newest first',
  usage: ['search [conditions] [--limit <n>] [options]'],
  about: [
    'Lists the events that meet every condition, on the service’s word; killick proof fetches the proof of one. On a terminal it prints a table, else one JSON object a line, with all its fields.',
  ],
  options: {
    ...CONDITIONS,
    limit: { value: 'n', default: '50', about: 'how many to list, the newest; default 50' },
    ...SUBJECT_KEYS,
    ...ACCESS,
    ...JSON_LINES,
  },
  exits: [[0, 'listed, also if nothing was found'], ...ASKING],
  examples: [
    'killick search --action invoice.* --outcome denied --from 2026-11-01',
    'killick search --actor u-17 --limit 1000 --json | jq .fields.action',
  ],
})

export const EXPORT = command({
  name: 'export',
  summary: 'write found events to a file, with proofs or as CSV',
  usage: ['export [conditions] [--format ndjson|csv] [--out <file>] [--part <n>] [options]'],
  about: [
    'As NDJSON every line is an event with its proof, and killick verify checks the whole file. CSV has no proofs. However many events there are, newest first, the file has all that were recorded before the export began; what is recorded meanwhile is not in it. The export is itself recorded in the ledger, each of its parts with the first that it belongs to.',
    'It asks in parts, and where a connection breaks or the service restarts, for the last part again; stderr says so. With --out the file appears under its name only when it is whole, and an existing file is never overwritten. An export that was ended early leaves <file>.part and <file>.part.json: the same command goes on from there. Without --out each part is a file in the system’s folder for temporary files before it is printed.',
  ],
  options: {
    ...CONDITIONS,
    format: {
      value: 'format',
      default: 'ndjson',
      complete: ['ndjson', 'csv'],
      about: 'form of the file: ndjson (default) or csv',
    },
    out: { value: 'file', complete: 'file', about: 'write to a new file instead of stdout' },
    part: {
      value: 'n',
      about:
        'most events of one part, 1 to 100,000; default 10,000, of CSV 50,000. Less is asked for again where connections break; the service gives 30 parts a minute',
    },
    ...ACCESS,
    ...JSON_FAILURE,
  },
  exits: [
    [0, 'written, and nothing was left out'],
    [2, 'wrong usage, or refused'],
    [
      3,
      'the service could not be reached, or broke off again and again; or whoever read the output left before its end',
    ],
  ],
  examples: [
    'killick export --from 2026-11-01 --to 2026-11-30 --out november.ndjson',
    'killick export --action salary.* --format csv > salaries.csv',
  ],
})

export const KEYS = command({
  name: 'keys',
  summary: 'list sources and their registered keys',
  usage: ['keys [--source <name>] [options]'],
  about: [
    'Lists which keys are registered for which source, since which entry of the log and for how long, on the service’s word; killick audit holds the list against the log. The key of killick.json or --key is marked, and said to be missing if it is not registered.',
  ],
  options: {
    source: { value: 'name', about: 'only of this source' },
    key: {
      value: 'file',
      env: 'KILLICK_KEY',
      config: 'key',
      complete: 'file',
      about: 'your key, private or public, to be marked in the list',
    },
    ...ACCESS,
    ...JSON_LINES,
  },
  exits: [[0, 'listed'], ...ASKING],
  examples: ['killick keys', 'killick keys --source billing-api --json'],
})

export const PROOF = command({
  name: 'proof',
  summary: 'fetch the proof of an event',
  usage: ['proof <event> [--out <file>] [--wait <seconds>] [options]'],
  arguments: [{ name: 'event' }],
  about: [
    '<event> is the event’s id (a UUID) or its leaf hash (43 characters). The proof is one JSON document that anyone can check with killick verify, without asking the service again. It shows every field of the event that the service still holds.',
  ],
  options: {
    out: { value: 'file', complete: 'file', about: 'write to a file instead of stdout' },
    wait: { value: 'seconds', default: '0', about: 'how long to wait until the event is anchored; default 0' },
    ...ACCESS,
    ...JSON_FAILURE,
  },
  exits: [
    [0, 'written'],
    [2, 'wrong usage, or no such event'],
    [
      3,
      'the service could not be reached, or the event was not anchored in the time of --wait: then nothing is written',
    ],
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
    ...JSON_FAILURE,
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
