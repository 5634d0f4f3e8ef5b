import type { BundleRequest } from '../bundle/make-bundle.ts'
import { KillickError } from '../core/errors.ts'
import { isCount, isSourceName, isStreamId } from '../core/event.ts'
import { parseTime } from '../core/time.ts'

/**
 * What a bundle is asked for: conditions as `GET /v1/events` takes them (`from` and `to` are RFC 3339), and the `first` and the `last`
 * place of a stream.
 */
export type BundleConditions = {
  readonly source?: string | undefined
  readonly stream?: string | undefined
  readonly action?: string | undefined
  readonly actor?: string | undefined
  readonly target?: string | undefined
  readonly outcome?: string | undefined
  readonly tenant?: string | undefined
  readonly from?: string | undefined
  readonly to?: string | undefined
  readonly first?: number | undefined
  readonly last?: number | undefined
}

/**
 * The most that can be proven of what is asked for: of a source alone, with times or without, and of a stream alone, that it is
 * complete; of anything narrower the index has the word.
 * @throws KillickError `option_invalid`
 */
export function bundleRequest({ first, last, ...conditions }: BundleConditions): BundleRequest {
  const { source, stream, from, to, ...narrow } = conditions
  const isNarrow = Object.values(narrow).some((each) => each !== undefined)
  if ((first !== undefined || last !== undefined) && (stream === undefined || source === undefined || isNarrow))
    invalid('first and last are places of a stream: source and stream go with them, and nothing else')
  if (source === undefined && stream === undefined && !isNarrow)
    invalid('Say what to put in: at least a source, or a condition such as actor')
  // A name that nothing can have would make a bundle of nothing.
  if (source !== undefined && !isSourceName(source)) invalid(`No source has such a name: ${source}`)
  if (stream !== undefined && !isStreamId(stream)) invalid(`No stream has such a name: ${stream}`)
  const [since, until] = [timeOf('from', from), timeOf('to', to)]
  // Of times that were exchanged nothing is missing: it would be complete, and hold nothing.
  if (since !== undefined && until !== undefined && since >= until) invalid('to is not behind from')
  const isPeriod = since !== undefined || until !== undefined
  if (isPeriod && (first !== undefined || last !== undefined))
    invalid('first and last are places of a stream, to which no times can be added')
  if (!isNarrow && source !== undefined && stream !== undefined && !isPeriod) {
    for (const place of [first, last]) if (place !== undefined && !isCount(place)) invalid('A place counts from 0')
    if (first !== undefined && last !== undefined && first > last) invalid('first is behind last')
    return { kind: 'stream', source, stream, first, last }
  }
  if (!isNarrow && source !== undefined && stream === undefined) return { kind: 'source', source, since, until }
  const given = Object.entries(conditions).filter((entry): entry is [string, string] => entry[1] !== undefined)
  return { kind: 'search', conditions: Object.fromEntries(given) }
}

function timeOf(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  return parseTime(text) ?? invalid(`${name} is not an RFC 3339 time: ${text}`)
}

function invalid(why: string): never {
  throw new KillickError('option_invalid', why)
}
