import { command } from './entry.ts'
import { ACCESS, ASKING, CONDITIONS } from './options.ts'

export const BUNDLE = command({
  name: 'bundle',
  summary: 'write everything about a source, a stream or a search into one file that proves itself',
  usage: [
    'bundle --source <name> [--from <time>] [--to <time>] --out <file> [options]',
    'bundle --source <name> --stream <stream> [--first <n>] [--last <n>] --out <file> [options]',
    'bundle [conditions] --out <file> [options]',
  ],
  about: [
    'A bundle holds the events with all that is needed to check them, years later and without the service: signed batches, the log’s tree as far as it is needed, the signed checkpoint, anchors, and the registrations of the keys. killick verify checks it, and says whether it is all there is.',
    'Of a source, between two times, a bundle holds every entry that the log has in the range, of other sources by their headers alone, which show the names of sources and streams; so nothing of the source can be left out unseen. The range reaches from the last anchor before the first time to the first anchor after the second. What a recorder still holds back at that time comes later in the log.',
    'Of a stream it holds places without a gap. Of any other search it holds what the ledger’s index finds, on the ledger’s word.',
    'Beside the evidence it has a report for people (report.html) and the verification page (verify.html), which opens from a disk; nobody has signed these.',
  ],
  options: {
    ...CONDITIONS,
    first: { value: 'n', about: 'the first place of the stream; default 0' },
    last: { value: 'n', about: 'the last place of the stream; default the last that there is' },
    out: { value: 'file', complete: 'file', about: 'the file to write; an existing one is never overwritten' },
    bare: { about: 'leave out what is for people: a report, and the verification page as one file' },
    ...ACCESS,
    json: { about: 'print what was written as JSON' },
  },
  exits: [[0, 'written'], ...ASKING],
  examples: [
    'killick bundle --source billing-api --from 2026-04-01 --to 2026-06-30 --out second-quarter.bundle',
    'killick bundle --source billing-api --stream 3f0c2a5e --out stream.bundle',
    'killick bundle --actor u-17 --out u-17.bundle && killick verify u-17.bundle --trust trust.json',
  ],
})
