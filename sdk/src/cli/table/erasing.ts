import { command } from './entry.ts'
import {
  ACCESS,
  ADMIN_TOKEN,
  ASKING,
  CONDITIONS,
  CONFIG,
  ERASER_TOKEN,
  JSON_LINES,
  JSON_OUT,
  URL_OPTION,
} from './options.ts'

const { to, from, ...WHAT } = CONDITIONS
const { source, stream, action } = WHAT

export const ERASE = command({
  name: 'erase',
  summary: 'order that fields of events are erased for good',
  usage: [
    'erase [conditions | --event <id> …] --fields <names>|all --reason <words> --dry-run [options]',
    'erase [conditions | --event <id> …] --fields <names>|all --reason <words> [--wait] [options]',
    'erase --confirm <id> [--dry-run] [options]',
    'erase --refuse <id> --reason <words> [options]',
  ],
  about: [
    'Orders that the ledger forgets fields of the events that meet every condition, or of those named. Their contents go for good; proofs of everything else keep holding, and everybody sees that they were erased, and by which order. --dry-run counts, shows samples and says what holds cover, and changes nothing: begin with it.',
    'The order is an event of the log, and is carried out behind it: killick erasures says whether it was. Reason, legal basis and number stay in the log for good: they must not name the person.',
    'Where the service asks for two people (KILLICK_ERASERS), the order is a proposal. Another person looks at it with --confirm <id> --dry-run, and has it carried out with --confirm <id>; --refuse <id> ends it, also one of your own. The same holds for what killick retention sets and ends.',
  ],
  options: {
    ...{ ...WHAT, from, to },
    event: { value: 'id', repeat: true, about: 'in place of conditions: id or leaf hash of an event; repeatable' },
    fields: { value: 'names', about: 'what goes: names with commas between them, such as actor,context, or all' },
    reason: { value: 'words', about: 'why, in words' },
    'legal-basis': { value: 'words', about: 'the law that it rests on, such as GDPR Art. 17(1)' },
    order: { value: 'number', about: 'number of the order' },
    id: {
      value: 'uuid',
      about:
        'id of the erasure, in lower case; sent again under its id, an order is made once. Default: a new one, which is printed',
    },
    confirm: { value: 'id', about: 'confirm what another person proposed' },
    refuse: { value: 'id', about: 'refuse what was proposed' },
    'dry-run': { about: 'only count, and show samples' },
    wait: { about: 'wait until it was carried out' },
    ...URL_OPTION,
    ...ERASER_TOKEN,
    ...CONFIG,
    ...JSON_OUT,
  },
  exits: [
    [0, 'ordered or proposed, and with --wait carried out; confirmed or refused; with --dry-run: counted'],
    [
      2,
      'wrong usage, or refused: nothing fits, a hold covers some of it, the token is another, or a proposal is your own or does not wait any more',
    ],
    [3, 'the service could not be reached: send the order again under its id'],
  ],
  examples: [
    'killick erase --actor u-17 --fields actor,context --reason "request of the person" --order E-2026-114 --dry-run',
    'killick erase --actor u-17 --fields actor,context --reason "request of the person" --order E-2026-114 --wait',
    'killick erase --confirm 6a1f0c52-9f53-4c1d-8a55-0f3b7f0f6c11 --dry-run',
  ],
})

export const ERASURES = command({
  name: 'erasures',
  summary: 'list erasures and expiries, and what they name',
  usage: ['erasures [<id>] [--entries] [--after <n>] [options]', 'erasures --proposals [--after <n>] [options]'],
  arguments: [{ name: 'id', optional: true }],
  about: [
    'Lists the orders of erasure, oldest first, those by a retention policy too, on the service’s word; killick audit holds them against the log. Takes a reader token, or that for erasures.',
    'With --entries it prints what each order names, for whoever has to erase it in copies of their own: one JSON object a line, with the erasure, its log entry, the event’s leaf hash and the digests of the fields, and no contents.',
  ],
  options: {
    entries: { about: 'print the events and digests that orders name, as JSON' },
    proposals: { about: 'list what was proposed to a second person, and what became of it' },
    after: { value: 'n', about: 'only orders behind this entry of the log: what came since the last look' },
    ...ACCESS,
    ...JSON_LINES,
  },
  exits: [[0, 'listed, also if there is none'], ...ASKING],
  examples: [
    'killick erasures',
    'killick erasures 6a1f0c52-9f53-4c1d-8a55-0f3b7f0f6c11 --json',
    'killick erasures --entries --after 81726 | jq -r .leafHash',
  ],
})

export const RETENTION = command({
  name: 'retention',
  summary: 'list retention policies, set one, or end one',
  usage: [
    'retention [options]',
    'retention --set <name> --days <n> [--events-days <n>] [--source <name>] [--stream <stream>] [--action <action>] [--dry-run] [options]',
    'retention --end <name> [options]',
  ],
  about: [
    'Without --set or --end it lists the policies: what has expired by each, what is due, what is held, and by which anchor events are old. That takes a reader token, or that for erasures; to set and to end takes the one for erasures.',
    'A policy lets the contents of all events that it covers expire after so many days, by the block times of anchors; action stays, and proofs keep holding. With --events-days the events themselves go after more days, whole batches of them: then their headers and leaf hashes are all that stays. Set again, it is replaced by its next version. --dry-run counts what would expire now.',
  ],
  options: {
    set: { value: 'name', about: 'set this policy' },
    end: { value: 'name', about: 'end this policy; what has expired stays so' },
    days: { value: 'n', about: 'after how many days contents go' },
    'events-days': { value: 'n', about: 'after how many days events go; not with --action. Default: they stay' },
    ...{ source, stream, action },
    'dry-run': { about: 'with --set: only count, and change nothing' },
    ...URL_OPTION,
    ...ERASER_TOKEN,
    ...CONFIG,
    ...JSON_LINES,
  },
  exits: [[0, 'listed, counted, set or ended'], ...ASKING],
  examples: [
    'killick retention',
    'killick retention --set orders --source shop --action order.* --days 365 --dry-run',
    'killick retention --set logins --source web --days 90 --events-days 730',
    'killick retention --end orders',
  ],
})

export const PRUNE = command({
  name: 'prune',
  summary: 'say from which age on entries of the log are not published any more',
  usage: ['prune [options]', 'prune --after <days> [options]', 'prune --never [options]'],
  about: [
    'Entries of the log show sources, streams, counts and times. Old ones need not stay public: with --after, those that are so many days old by the block times of final anchors are for holders of a token only. Nothing is removed; proofs and audits go on as before. --never publishes all of the log again.',
    'Either is an event of the log, and counts once a final anchor covers it. Without options it says what counts now, which takes no token; to change it takes an admin token.',
  ],
  options: {
    after: { value: 'days', about: 'after how many days entries are not published any more' },
    never: { about: 'publish the whole log again' },
    ...URL_OPTION,
    ...ADMIN_TOKEN,
    ...CONFIG,
    ...JSON_OUT,
  },
  exits: [[0, 'said, or ordered'], ...ASKING],
  examples: ['killick prune', 'killick prune --after 365', 'killick prune --never'],
})

export const HOLDS = command({
  name: 'holds',
  summary: 'list holds, place one, or lift one',
  usage: [
    'holds [options]',
    'holds --place <case> --reason <words> [conditions] [options]',
    'holds --lift <id> --reason <words> [options]',
  ],
  about: [
    'A hold keeps the events that meet every condition as they are, those to come too, until it is lifted: they are neither erased, nor do they expire. Without conditions it keeps every event. The case, the reason and the conditions stay in the log.',
    'Without --place or --lift it lists the holds, which takes a reader token; to place and to lift takes an admin token.',
  ],
  options: {
    place: { value: 'case', about: 'place a hold; number of the case' },
    lift: { value: 'id', about: 'lift this hold' },
    reason: { value: 'words', about: 'why' },
    ...{ ...WHAT, from, to },
    ...URL_OPTION,
    ...ADMIN_TOKEN,
    ...CONFIG,
    ...JSON_LINES,
  },
  exits: [[0, 'listed, placed or lifted'], ...ASKING],
  examples: [
    'killick holds',
    'killick holds --place C-81 --reason "pending suit" --target order-4711',
    'killick holds --lift 0b0c7a5e-1d2f-4f6b-9a38-3d1f5a9e2c44 --reason settled',
  ],
})
