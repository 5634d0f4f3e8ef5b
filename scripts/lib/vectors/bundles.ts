// Bundles, and the verdicts on them. The first case of each scope is what a ledger's reader makes; the others differ from one of them in one
// thing, and have a trailer that fits.
import { asHash, hideFields, nodePrimitives, parseBatchHeader, parseEvent, printHash } from '@killick/sdk/core'
import {
  ANCHORED,
  at,
  caseOf,
  DECIDED,
  type Files,
  type Judged,
  lined,
  openWorld,
  other,
  write,
} from './bundle-world.ts'
import { seed } from './keys.ts'
import { mintOf, SOURCE, STREAM, TIME } from './world.ts'

/** What a case alters in a manifest. */
type Told = { scope: object; anchors: { size: number }[] }

export async function bundles() {
  const { reader, trust } = await openWorld()
  const iso = (seconds: number) => 1000 * seconds
  const whole = await write(reader, {
    ...{ kind: 'source', source: SOURCE },
    ...{ since: iso(ANCHORED[0]![1]), until: iso(ANCHORED[1]![1]) },
  })
  const stream = await write(reader, { kind: 'stream', source: SOURCE, stream: STREAM, first: 1, last: 6 })
  const search = await write(reader, { kind: 'search', conditions: { source: SOURCE, action: 'login' } })
  const make = (
    description: string,
    files: Files,
    outcome: string,
    completeness: string,
    reasons: readonly string[] = [],
    by: object = trust,
    more: Judged | object = {},
  ) => caseOf(description, files, outcome, completeness, reasons, { by, ...more })
  const told = (files: Files, change: (manifest: Told) => object): Files => ({
    manifest: `${JSON.stringify(change(JSON.parse(files.manifest)), null, 1)}\n`,
    log: files.log,
  })
  const event = at(whole, 'E ', -1)
  const flip = (line: string) => `${line.slice(0, 40)}${line[40] === 'A' ? 'B' : 'A'}${line.slice(41)}`
  const { reader: unchained, trust: itsTrust } = await openWorld({ broken: 4 })
  const broken = await write(unchained, { kind: 'stream', source: SOURCE, stream: STREAM, first: 1, last: 6 })
  const { facts: _, ...unasked } = trust
  const { reader: forgetful, trust: its } = await openWorld({ erases: true })
  const erased = await write(forgetful, { kind: 'source', source: SOURCE })
  const partly = await write(forgetful, { kind: 'stream', source: SOURCE, stream: STREAM, first: 1, last: 3 })
  const { reader: late, trust: of } = await openWorld({ notAfter: TIME + 30_000 })
  const expired = await write(late, { kind: 'source', source: SOURCE, until: iso(ANCHORED[1]![1]) })
  const { reader: jumping, trust: ofJump } = await openWorld({ alter: (all) => all.with(4, all[3]!) })
  const jumped = await write(jumping, { kind: 'source', source: SOURCE, until: iso(ANCHORED[1]![1]) })
  const { reader: beheaded, trust: ofLate } = await openWorld({ alter: (all) => all.with(2, all[3]!) })
  const begun = await write(beheaded, { kind: 'source', source: SOURCE, until: iso(ANCHORED[1]![1]) })
  const unfounded = (description: string, files: Files, reasons = ['erasure_invalid']) =>
    make(description, files, 'failed', 'not_judged', reasons, its)
  return [
    make('of a source between two anchors', whole, 'verified', 'complete'),
    make('of a part of a stream, whose batches are carried in part', stream, 'verified', 'complete'),
    make('of a search', search, 'verified', 'as_index_says'),
    make('the chain was not asked', whole, 'undecided', 'open', [], { ...unasked, facts: [] }),
    make('nothing is pinned', whole, 'undecided', 'open', [], { facts: trust.facts }),
    make('the chain does not hold an anchor', whole, 'failed', 'not_judged', ['anchor_denied'], {
      ...trust,
      facts: trust.facts.map((fact) => ({ ...fact, anchored: false })),
    }),
    make('another key of the source is pinned', whole, 'failed', 'not_judged', ['pin_mismatch'], {
      ...trust,
      sourceKeys: [{ source: SOURCE, jwk: other.jwk }],
    }),
    make(
      'without one of the events of a batch',
      lined(whole, (lines) => lines.toSpliced(event, 1)),
      'failed',
      'not_judged',
      ['batch_incomplete'],
    ),
    make(
      'with an event twice',
      lined(whole, (lines) => lines.toSpliced(event, 0, lines[event]!)),
      'failed',
      'not_judged',
      ['place_mismatch'],
    ),
    make(
      'an event with another byte',
      lined(whole, (lines) => lines.with(event, flip(lines[event]!))),
      'failed',
      'not_judged',
      ['batch_incomplete', 'event_invalid'],
    ),
    make(
      'the events of the last batch left out, its header stays',
      lined(whole, (lines) => lines.filter((line, i) => !(line.startsWith('E ') && i > at(whole, 'H ', -1)))),
      ...(['verified', 'incomplete', [], trust, { absent: { events: 4 } }] as const),
    ),
    make(
      'a header of another source replaced by its hash',
      lined(whole, (lines) => {
        const i = at(whole, 'H ', 3)
        return lines.with(i, `T 0 ${printHash(parseBatchHeader(lines[i]!.slice(2)).leafHash)}`)
      }),
      ...(['verified', 'incomplete', [], trust, { absent: { entries: 1 } }] as const),
    ),
    make(
      'of a source of whose stream the log lacks a batch between two others',
      jumped,
      'verified',
      'incomplete',
      [],
      ofJump,
      {
        absent: { events: 2 },
      },
    ),
    make('of a source of whose stream the log lacks the first batch', begun, 'verified', 'incomplete', [], ofLate, {
      absent: { events: 3 },
    }),
    make(
      'a hash of entries that are not carried is another',
      lined(whole, (lines) => lines.with(-1, `T 1 ${printHash(asHash(seed('another')))}`)),
      'failed',
      'not_judged',
      ['log_root_mismatch'],
    ),
    make(
      'a line that is none',
      lined(whole, (lines) => lines.with(-1, 'X 1')),
      'failed',
      'not_judged',
      ['log_root_mismatch', 'malformed'],
    ),
    make(
      'two events change places',
      lined(stream, (lines) => {
        const i = at(stream, 'E ', -2)
        return lines.with(i, lines[i + 1]!).with(i + 1, lines[i]!)
      }),
      'failed',
      'not_judged',
      ['batch_incomplete', 'place_mismatch'],
    ),
    make(
      'the scope reaches beyond what is carried',
      told(stream, ({ scope, ...rest }) => ({
        ...{ format: 'killick-bundle/1', scope: { ...scope, last: 8 } },
        ...rest,
      })),
      ...(['verified', 'incomplete', [], trust, { absent: { events: 2 } }] as const),
    ),
    make(
      'an anchor of another size',
      told(whole, ({ anchors, ...rest }) => ({
        ...rest,
        anchors: anchors.map((anchor, i) => (i === 1 ? { ...anchor, size: 6 } : anchor)),
      })),
      'failed',
      'not_judged',
      ['anchor_mismatch'],
    ),
    make(
      'files for people behind the log',
      {
        ...whole,
        forPeople: [
          ['report.html', '<p>What is in it</p>'],
          ['verify.html', '<p>A page</p>'],
          ['readme.txt', 'A note'],
        ],
      },
      'verified',
      'complete',
    ),
    make(
      'files for people in another order',
      {
        ...whole,
        forPeople: [
          ['verify.html', '<p>A page</p>'],
          ['report.html', '<p>What is in it</p>'],
        ],
      },
      'failed',
      'not_judged',
      ['malformed'],
    ),
    make(
      'an event that its source signed names another before it',
      broken,
      'failed',
      'not_judged',
      ['chain_broken'],
      itsTrust,
    ),
    make(
      'the key of the source signed behind the time for which it is registered',
      ...([expired, 'verified', 'complete', [], of, { keysOutside: 3 }] as const),
    ),
    make('of events of which some were erased and some have expired', erased, 'verified', 'complete', [], its, {
      lacking: {
        ...{ erased: 3, expired: 2, erasureCount: 2 },
        erasures: [
          {
            ...{
              id: '00000000-0000-4000-8000-000000000001',
              logIndex: 7,
              at: new Date(mintOf(951).time).toISOString(),
            },
            ...{ reason: 'request of the person', legalBasis: 'GDPR Art. 17', order: '2026-17', events: 3 },
            ...{ policy: null, confirmed: DECIDED },
          },
          {
            ...{
              id: '00000000-0000-4000-8000-000000000002',
              logIndex: 8,
              at: new Date(mintOf(952).time).toISOString(),
            },
            ...{ reason: 'expired', legalBasis: null, order: null, events: 2 },
            ...{ policy: { id: 'orders', version: 1 }, confirmed: null },
          },
        ],
      },
    }),
    make('of a part of them', partly, 'verified', 'complete', [], its, { lacking: { erased: 1, expired: 1 } }),
    make(
      'what was erased without what says so',
      lined(partly, (lines) => lines.filter((line) => !/^[XL] /.test(line))),
      ...(['verified', 'complete', [], its, { lacking: { hidden: 2 } }] as const),
    ),
    unfounded(
      'what was erased of one event is not said',
      lined(erased, (lines) => lines.toSpliced(at(erased, 'X ', 0), 1)),
    ),
    unfounded(
      'what was erased is said twice',
      lined(erased, (lines) => lines.toSpliced(at(erased, 'X ', 0), 0, lines[at(erased, 'X ', 0)]!)),
    ),
    unfounded(
      'one digest more is said to be erased',
      lined(erased, (lines) => {
        const i = at(erased, 'X ', -1)
        const [own, other] = [lines[i]!, lines[at(erased, 'X ', 0)]!].map((line) => line.split(' ')[2]!.split(','))
        return lines.with(i, `X 7 ${[...own!, other![0]!].sort().join()}`)
      }),
    ),
    unfounded(
      'one digest fewer is said to be erased',
      lined(erased, (lines) => {
        const i = at(erased, 'X ', 0)
        return lines.with(i, lines[i]!.replace(/,[^,]*$/, ''))
      }),
    ),
    unfounded(
      'digests are not in order',
      lined(erased, (lines) => {
        const i = at(erased, 'X ', 0)
        const [, order, digests] = lines[i]!.split(' ')
        return lines.with(i, `X ${order} ${digests!.split(',').reverse().join()}`)
      }),
    ),
    unfounded(
      'the rest of a list is cut off',
      lined(erased, (lines) => lines.toSpliced(at(erased, 'L ', -1), 1)),
    ),
    unfounded(
      'another order is named',
      lined(erased, (lines) => lines.map((line) => line.replace(/^([XL]) 8 /, '$1 7 '))),
    ),
    unfounded(
      'the order is not carried',
      lined(erased, (lines) =>
        lines.filter((line, i) => !line.startsWith('L 8') || i < at(erased, 'E ', -1)).toSpliced(-1, 1),
      ),
    ),
    unfounded(
      'what comes before the event is named as the order',
      lined(erased, (lines) => lines.map((line) => line.replace(/^([XL]) 8 /, '$1 1 '))),
    ),
    unfounded(
      'one of two fields that were erased is shown all the same',
      lined(erased, (lines) => {
        const event = parseEvent(whole.log.split('\n')[at(whole, 'E ', 2)]!.slice(2), nodePrimitives)
        const names = event.disclosures.map(({ name }) => name).filter((name) => name !== 'context')
        return lines.with(at(erased, 'E ', 2), `E ${hideFields(event, names)}`)
      }),
    ),
    unfounded(
      'a field that was erased is shown all the same',
      lined(erased, (lines) => {
        const i = at(erased, 'E ', 2)
        return lines.with(i, `E ${whole.log.split('\n')[at(whole, 'E ', 2)]!.slice(2)}`)
      }),
    ),
  ]
}
