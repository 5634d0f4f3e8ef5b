// Bundles with batches whose events a policy has dropped, and the verdicts on them. Each differs from an honest one in one thing, and has a
// trailer that fits.
import { type Hash, parseBatchHeader, parseEvent, printHash, SYSTEM, signBatchHeader } from '@killick/sdk/core'
import type { BundleRequest } from '../../../sdk/src/bundle/make-bundle.ts'
import { dropFields, type RetentionDrop, retentionEndFields } from '../../../sdk/src/core/retention.ts'
import { at, type Batch, caseOf, type Files, lined, openWorld, other, ownBatch, write } from './bundle-world.ts'
import { SYSTEM_SIGNER } from './registrations.ts'
import { SOURCE, STREAM } from './world.ts'

type Entries = RetentionDrop['entries']

const said = (entries: Entries, events: number) =>
  dropFields({ ...{ id: 'orders', version: 2, size: 7, time: 1_795_000_000 }, entries, events })

/** Batches of the source stand at the entries 2, 4 and 6, and have 3, 2 and 4 events; those of another source between them. */
type Dropping = {
  /** What the events at the entries 7 and 8 say. */
  says: readonly (readonly [entries: Entries, events: number])[]
  gone: readonly number[]
  /** What the ledger lists, if it is something else. */
  lists?: readonly Entries[]
  alter?: (carried: (Batch | null)[]) => (Batch | null)[] | Promise<(Batch | null)[]>
  signer?: typeof SYSTEM_SIGNER
}

async function openDropping({ says, gone, lists, alter, signer = SYSTEM_SIGNER }: Dropping) {
  const batches: Batch[] = []
  let before: Hash | undefined
  for (const [i, [entries, events]] of says.entries()) {
    const made = await ownBatch(1 + i, [said(entries, events)], before, signer)
    before = made.leafHash
    batches.push(made)
  }
  let all: (Batch | null)[] = []
  await openWorld({ alter: (carried) => (all = carried) })
  const end = await ownBatch(5, [retentionEndFields('orders', 2)], undefined)
  const log = [...all.slice(0, 7), ...batches, end, end].slice(0, 9)
  const altered = (await alter?.(log)) ?? log
  const drops = (lists ?? says.map(([entries]) => entries)).map((entries, i) => ({ logIndex: 7 + i, entries }))
  return { ...(await openWorld({ alter: () => altered, gone, drops })), log: altered }
}

const STREAM_OF = { kind: 'stream', source: SOURCE, stream: STREAM } as const
const ALL: BundleRequest = { kind: 'source', source: SOURCE }
const one = (entry: number): Entries => [[entry, entry]]

export async function droppedBundles() {
  const { reader, trust, log } = await openDropping({ says: [[one(4), 2]], gone: [4] })
  const stream = await write(reader, STREAM_OF)
  const source = await write(reader, ALL)
  const later = await write(reader, { ...STREAM_OF, first: 5, last: 8 })
  const twoSaid: Dropping['says'] = [
    [one(2), 3],
    [one(4), 2],
  ]
  const two = await openDropping({ says: twoSaid, gone: [2, 4] })
  const twice = await openDropping({ says: [twoSaid[1]!, twoSaid[1]!], gone: [4] })
  const everything = await openDropping({ says: [[[[2, 6]], 9]], gone: [2, 4, 6] })
  const newest = await openDropping({ says: [[one(6), 4]], gone: [6] })
  const ledgers = await openDropping({ says: [[one(1), 1]], gone: [] })
  const system = await write(ledgers.reader, { kind: 'source', source: SYSTEM.source })
  const elsewhere = await openDropping({ says: [[one(3), 1]], gone: [4], lists: [one(4)] })
  const unsaid = await openDropping({ says: [[one(4), 2]], gone: [2, 4], lists: [[[2, 4]]] })
  const unsigned = await openDropping({ says: [[one(4), 2]], gone: [4], signer: other })
  const early = await openDropping({
    ...{ says: [[one(4), 2]], gone: [4], lists: [] },
    alter: (all) => all.with(3, all[7]!).with(7, all[3]!),
  })
  const unreadable = await openDropping({
    ...{ says: [[one(4), 2]], gone: [4] },
    async alter(all) {
      const fields = said(one(4), 2)
      const metadata = { ...(fields.metadata as object), entries: '4,3' }
      return all.with(7, await ownBatch(1, [{ ...fields, metadata }], undefined))
    },
  })
  const together = await openDropping({
    ...{ says: [[one(4), 2]], gone: [4] },
    alter: async (all) => all.with(7, await ownBatch(1, [said(one(4), 2), said(one(2), 3)], undefined)),
  })
  const forged = await openDropping({
    ...{ says: [[one(4), 2]], gone: [4] },
    async alter(all) {
      const { header, tokens } = all[4]!
      return all.with(4, { header: parseBatchHeader(await signBatchHeader(header, other)), tokens })
    },
  })

  type More = Parameters<typeof caseOf>[5]
  const make = (description: string, files: Files, more: More, completeness = 'incomplete') =>
    caseOf(description, files, 'verified', completeness, [], { by: trust, ...more })
  const failing = (description: string, files: Files, reasons: string[], by: object = trust) =>
    caseOf(description, files, 'failed', 'not_judged', reasons, { by })
  const leafOf = (line: string) => `T 0 ${printHash(parseBatchHeader(line.slice(2)).leafHash)}`
  /** With the events of a batch. */
  const whole = (files: Files, { header, tokens }: Batch) =>
    lined(files, (lines) =>
      lines.flatMap((line) => [line, ...(line === `H ${header.text}` ? tokens.map((token) => `E ${token}`) : [])]),
    )
  const gone = stream.log.split('\n').findIndex((line, i, all) => line.startsWith('H ') && all[i + 1]!.startsWith('T '))
  const tokens = log[4]!.tokens.map((token) => `E ${token}`)
  const flip = (line: string) => `${line.slice(0, 60)}${line[60] === 'A' ? 'B' : 'A'}${line.slice(61)}`
  return [
    make('of a stream of which a policy dropped a batch', stream, { dropped: 2 }),
    make('of a source of which a policy dropped a batch', source, { dropped: 2 }),
    make('of places of a stream behind what was dropped', later, {}, 'complete'),
    make(
      'of the places of a stream with a part of what was dropped',
      await write(reader, { ...STREAM_OF, first: 4, last: 6 }),
      { dropped: 1 },
    ),
    make(
      'of the places of a stream until a part of what was dropped',
      await write(reader, { ...STREAM_OF, first: 0, last: 3 }),
      { dropped: 1 },
    ),
    make('the newest batch of a source was dropped', await write(newest.reader, ALL), {
      ...{ by: newest.trust, dropped: 4 },
    }),
    make(
      'a drop names what the ledger itself has recorded',
      lined(system, (lines) => lines.toSpliced(at(system, 'E ', 1), 1)),
      // In this ledger its own stream also lacks the twelve places behind its registrations.
      { by: ledgers.trust, absent: { events: 13 } },
    ),
    make(
      'of a search that finds what was dropped',
      await write(reader, { kind: 'search', conditions: { source: SOURCE } }),
      ...([{ dropped: 2 }, 'as_index_says'] as const),
    ),
    make(
      'of a search that does not find what was dropped',
      await write(reader, { kind: 'search', conditions: { source: SOURCE, action: 'login' } }),
      ...([{}, 'as_index_says'] as const),
    ),
    make('two drops', await write(two.reader, ALL), { by: two.trust, dropped: 5 }),
    make('two drops of the same', await write(twice.reader, ALL), { by: twice.trust, dropped: 2 }),
    make('all of a stream was dropped, by a drop that names others too', await write(everything.reader, STREAM_OF), {
      ...{ by: everything.trust, dropped: 9 },
    }),
    make(
      'the drop names one of two batches without events',
      await write(unsaid.reader, ALL),
      ...([{ by: unsaid.trust, dropped: 2, absent: { events: 3 } }] as const),
    ),
    make('the drop names others only', await write(elsewhere.reader, ALL), {
      ...{ by: elsewhere.trust, absent: { events: 2 } },
    }),
    make('what would drop it stands before it', whole(await write(early.reader, ALL), early.log[3]!), {
      ...{ by: early.trust, absent: { events: 2 } },
    }),
    make('the drop cannot be read', await write(unreadable.reader, ALL), {
      ...{ by: unreadable.trust, absent: { events: 2 } },
    }),
    make('the drop is not alone in its batch', await write(together.reader, ALL), {
      ...{ by: together.trust, absent: { events: 2 } },
    }),
    make(
      'the drop is only a header',
      lined(source, (lines) => lines.toSpliced(at(source, 'E ', -1), 1)),
      { absent: { events: 2 } },
    ),
    make(
      'the drop is only a hash',
      lined(stream, (lines) => {
        const i = at(stream, 'H ', -1)
        return lines.toSpliced(i, 2, leafOf(lines[i]!))
      }),
      { absent: { events: 2 } },
    ),
    make(
      'the dropped batch is only a hash',
      lined(stream, (lines) => lines.with(gone, leafOf(lines[gone]!))),
      { absent: { events: 2 } },
    ),
    make(
      'events that the drop names are carried all the same',
      lined(stream, (lines) => lines.toSpliced(gone + 1, 0, ...tokens)),
      ...([{}, 'complete'] as const),
    ),
    make(
      'one of two events that the drop names is carried all the same',
      lined(stream, (lines) =>
        lines.toSpliced(gone + 1, 0, tokens[0]!, `N 0 ${printHash(parseEvent(log[4]!.tokens[1]!).leafHash)}`),
      ),
      { dropped: 1 },
    ),
    failing(
      'a key that is not the ledger’s signed the drop',
      await write(unsigned.reader, ALL),
      ['key_unregistered'],
      unsigned.trust,
    ),
    failing(
      'another key than the source’s signed the header of the dropped batch',
      await write(forged.reader, ALL),
      ['pin_mismatch'],
      forged.trust,
    ),
    failing(
      'a byte of the drop is another',
      lined(stream, (lines) => lines.with(at(stream, 'E ', -1), flip(lines[at(stream, 'E ', -1)]!))),
      ['batch_incomplete', 'event_invalid'],
    ),
    failing(
      'a byte of the header of the dropped batch is another',
      lined(stream, (lines) => lines.with(gone, `${lines[gone]!.slice(0, -3)}AAA`)),
      ['anchor_mismatch', 'log_root_mismatch', 'signature_invalid'],
    ),
    failing(
      'leaf hashes stand in place of the events',
      lined(stream, (lines) =>
        lines.toSpliced(gone + 1, 0, ...log[4]!.tokens.map((token) => `E ${printHash(parseEvent(token).leafHash)}`)),
      ),
      ['batch_incomplete', 'event_invalid'],
    ),
    failing(
      'the header of the dropped batch stands there twice',
      lined(stream, (lines) => lines.toSpliced(gone, 0, lines[gone]!)),
      ['anchor_mismatch', 'log_root_mismatch', 'stream_forked'],
    ),
  ]
}
