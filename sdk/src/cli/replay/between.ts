// What lies between two steps in their stream. Each event names the hash of the one before it, so whoever holds the later step and
// everything between holds its source's own word that nothing else was there.
import type { Api } from '../../audit/api.ts'
import { KillickError } from '../../core/errors.ts'
import { type Hash, printHash } from '../../core/hash.ts'
import { isObject } from '../../core/json.ts'
import { names, placeOf, readRow, type SessionRow } from './rows.ts'

/**
 * Places of a stream that do not show what they should. `missing`: the service does not show them. `unread`: it shows what is no event any
 * more. `dropped`: by its word a retention policy has taken it. `broken`: the event does not name the hash of the one before it. `left_out`: it is of this very session, and the search did not
 * find it. `order`: the search put it behind a later one.
 */
export type Gap = {
  readonly why: 'missing' | 'unread' | 'dropped' | 'broken' | 'left_out' | 'order'
  readonly from: number
  readonly to: number
}

/**
 * `others`: places between two steps that hold events of others. `unnamed`: events that do not show whose they are, since their targets are
 * hidden, were erased, have expired or are lost. `unseen`: places of which nothing was asked.
 */
export type Between = {
  readonly gaps: readonly Gap[]
  readonly others: number
  readonly unnamed: number
  readonly unseen: number
}

const NOTHING: Between = { gaps: [], others: 0, unnamed: 0, unseen: 0 }

/** Most places that a service shows on each side of the one that is asked for. */
const SPAN = 50

type End = { readonly seq: number; readonly leafHash: Hash | null }

/**
 * Compares a step with the one before it in the stream.
 * @param before null: it is the first
 * @param api asked for what lies between; null: nothing is asked, and what lies between is not seen
 */
export async function lookBetween(
  before: SessionRow | null,
  after: SessionRow,
  session: string,
  api: Api | null,
): Promise<Between> {
  const [start, end] = [before === null ? null : endOf(before), endOf(after)]
  if (start === null || end === null) return NOTHING
  const { seq } = end
  if (seq <= start.seq) return { ...NOTHING, gaps: [{ why: 'order', from: seq, to: seq }] }
  const isApart = seq > start.seq + 1
  if (isApart && api === null) return { ...NOTHING, unseen: seq - start.seq - 1 }
  const gaps: Gap[] = []
  let [others, unnamed] = [0, 0]
  let last = start
  const look = (row: SessionRow, at: End) => {
    if (at.seq > last.seq + 1) gaps.push({ why: 'missing', from: last.seq + 1, to: at.seq - 1 })
    else if (row.event !== null && !follows(row.event.prev, last))
      gaps.push({ why: 'broken', from: at.seq, to: at.seq })
    last = at
  }
  if (isApart)
    for await (const row of readPlaces(api!, placeOf(after)!, start.seq + 1, seq - 1)) {
      const at = endOf(row)!
      look(row, at)
      if (row.event === null) {
        if (row.isDropped) addDropped(gaps, at.seq)
        else gaps.push({ why: 'unread', from: at.seq, to: at.seq })
        continue
      }
      const isOfIt = names(row, session)
      if (isOfIt === null) unnamed += 1
      else if (isOfIt) gaps.push({ why: 'left_out', from: at.seq, to: at.seq })
      else others += 1
    }
  look(after, end)
  return { gaps, others, unnamed, unseen: 0 }
}

/** Batches are dropped whole: one line for places that follow each other. */
function addDropped(gaps: Gap[], seq: number): void {
  const last = gaps.at(-1)
  if (last?.why === 'dropped' && last.to === seq - 1) gaps[gaps.length - 1] = { ...last, to: seq }
  else gaps.push({ why: 'dropped', from: seq, to: seq })
}

/** Of what cannot be read no hash is known to compare with. */
const follows = (prev: Hash | undefined, { leafHash }: End): boolean =>
  leafHash === null || (prev !== undefined && printHash(prev) === printHash(leafHash))

function endOf(row: SessionRow): End | null {
  const place = placeOf(row)
  return place && { seq: place.seq, leafHash: row.event?.leafHash ?? null }
}

/** The events at places of a stream, in order; those that the service does not show are left out. @throws KillickError `answer_malformed` */
async function* readPlaces(
  api: Api,
  { source, stream }: { source: string; stream: string },
  from: number,
  to: number,
): AsyncGenerator<SessionRow> {
  for (let low = from, span = 0; low <= to; low += 2 * span + 1) {
    span = Math.min(SPAN, Math.ceil((to - low) / 2))
    const path = `/v1/streams/${source}/${stream}/events?seq=${low + span}&span=${span}`
    const answer = await api.json(path)
    if (!isObject(answer) || !Array.isArray(answer.events)) throw nonsense(path)
    let last = low - 1
    for (const row of answer.events.map((each) => readRow(each, path))) {
      const seq = endOf(row)?.seq ?? null
      if (seq === null) continue
      if (seq <= last) throw nonsense(path)
      last = seq
      if (row.event !== null && (row.event.source !== source || row.event.stream !== stream)) throw nonsense(path)
      if (seq <= Math.min(to, low + 2 * span)) yield row
    }
  }
}

const nonsense = (path: string) =>
  new KillickError('answer_malformed', `${path} is no list of the events of a stream, in order`)
