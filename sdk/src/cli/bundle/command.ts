import { type BundleRequest, planBundle } from '../../bundle/make-bundle.ts'
import { nodePrimitives } from '../../node/primitives.ts'
import { accessOf, openAccess } from '../access.ts'
import { type Command, EXIT, integer, readArgs, UsageError } from '../command.ts'
import { periodOf, queryOf } from '../conditions.ts'
import { BUNDLE } from '../table/bundle.ts'
import type { ValuesOf } from '../table/entry.ts'
import { count, err, jsonLine, out, progress, text } from '../terminal.ts'
import { writeBundle } from './file.ts'
import { openLedger } from './reader.ts'
import { scopeWords } from './words.ts'

export const bundle: Command = {
  run: async (args) => {
    const given = readArgs(BUNDLE, args)
    const { values } = given
    const { out: file } = values
    if (file === undefined) throw new UsageError('A bundle is a file: give --out <file>')
    const request = requestOf(values)
    const access = accessOf(BUNDLE, given)
    const ledger = openLedger(openAccess(access), access.url)
    let events = 0
    const shown = progress(() => `${count(events, 'event')} written`)
    const planned = await planBundle(ledger, request, Date.now(), nodePrimitives)
    const onEvents = (now: number) => {
      events = now
      shown.step()
    }
    const written = await writeBundle(file, planned.manifest, planned.lines(), onEvents).finally(shown.done)
    const { scope } = planned.manifest
    if (values.json) out(jsonLine({ file, scope, ...written }))
    else {
      err(
        text`${count(written.events, 'event')} in ${file} (${written.bytes.toLocaleString('en')} bytes): ${scopeWords(scope)}`,
      )
      err(text`Check it, or let somebody else: killick verify ${file}`)
    }
    return EXIT.ok
  },
}

/** A source alone can be proven complete, and so can a stream; of anything narrower the index has the word. */
function requestOf(values: ValuesOf<typeof BUNDLE.options>): BundleRequest {
  const { source, stream, action, actor, target, outcome, first, last } = values
  const isNarrow = [action, actor, target, outcome].some((each) => each !== undefined)
  const { from, to } = periodOf(values)
  const isPlaced = first !== undefined || last !== undefined
  if (isPlaced && (stream === undefined || source === undefined || isNarrow))
    throw new UsageError(
      '--first and --last are places of a stream: give --source and --stream with them, and nothing else',
    )
  if (source === undefined && !isNarrow && stream === undefined)
    throw new UsageError('Say what to put in: at least --source, or a condition such as --actor')
  const isPeriod = from !== undefined || to !== undefined
  if (!isNarrow && source !== undefined && stream !== undefined && !isPeriod) {
    const place = (text: string | undefined, name: string) => (text === undefined ? undefined : integer(text, name, 0))
    const range = { first: place(first, 'first'), last: place(last, 'last') }
    if (range.first !== undefined && range.last !== undefined && range.first > range.last)
      throw new UsageError('--first is behind --last')
    return { kind: 'stream', source: source.trim(), stream: stream.trim(), ...range }
  }
  if (!isNarrow && source !== undefined && stream === undefined)
    return { kind: 'source', source: source.trim(), since: from, until: to }
  const query = new URLSearchParams(queryOf(values).slice(1))
  return { kind: 'search', conditions: Object.fromEntries(query) }
}
