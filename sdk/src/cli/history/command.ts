// `killick history`: reads all events of a target, and tells its life.
import { readPages } from '../../audit/answers.ts'
import type { BundleVerdict } from '../../bundle/index.ts'
import { KillickError } from '../../core/errors.ts'
import { type HistoryTarget, historyJson, historyOf, mayBeAbout, type TargetHistory } from '../../core/history.ts'
import { parseTime } from '../../core/time.ts'
import { readFileInPlace } from '../../node/bundle/file.ts'
import { verifyBundle } from '../../node/bundle/verify-bundle.ts'
import { accessOf, openAccess } from '../access.ts'
import { bundleTrust } from '../bundle/trust.ts'
import { unreadBundle } from '../bundle/verify.ts'
import { type Command, EXIT, readArgs, UsageError } from '../command.ts'
import { readPins } from '../pins.ts'
import { readRow } from '../replay/rows.ts'
import { HISTORY } from '../table/history.ts'
import { json, out, outDrained } from '../terminal.ts'
import { historyLines, type LoggedEvent } from './print.ts'

const PAGE = 500
/** More events than anybody reads; they are all held in memory. */
const MOST = 100_000

export const history: Command = {
  run: async (args) => {
    const given = readArgs(HISTORY, args)
    const { values, positionals } = given
    const [type, id] = [positionals[0]!, positionals[1]!]
    const target = { type, id }
    const [at, since] = [timeOf('at', values.at), timeOf('since', values.since)]
    if (at !== undefined && since !== undefined && since > at) throw new UsageError('--since is behind --at')
    const { events, altered, verdict } =
      values.bundle === undefined ? await fromService(given, id) : await fromBundle(given, values.bundle, target)
    if (verdict?.outcome === 'failed')
      throw new KillickError(
        'bundle_malformed',
        `The bundle does not hold, so nothing is told: killick verify ${values.bundle} says why`,
      )
    if (altered === 0 && !events.some((event) => mayBeAbout(event, target)))
      throw new KillickError(
        'bundle_empty',
        `No event is found that names ${type} ${id}; those that were dropped, or whose targets are sealed, were erased or have expired, never are`,
      )
    const told = historyOf(target, events, at)
    const earlier = since === undefined ? null : historyOf(target, events, since)
    const result = { told, earlier, altered, verdict }
    const { outcome = null, missing = null, completeness = null } = verdict ?? {}
    if (values.json) out(json({ ...historyJson(told, earlier), altered, outcome, missing, completeness }))
    else for (const line of historyLines(result)) await outDrained(line)
    return exitOf(told, altered, verdict)
  },
}

type Given = ReturnType<typeof readArgs<typeof HISTORY.options>>
type Read = { events: LoggedEvent[]; altered: number; verdict: BundleVerdict | null }

async function fromService(given: Given, id: string): Promise<Read> {
  const api = openAccess(accessOf(HISTORY, given))
  const events: LoggedEvent[] = []
  let altered = 0
  const path = `/v1/events?${new URLSearchParams({ target: id })}`
  for await (const { rows } of readPages(
    api,
    path,
    'events',
    () => PAGE,
    (row) => readRow(row, path),
  )) {
    for (const row of rows) {
      if (row.event === null) altered += 1
      else events.push({ ...row.event, logIndex: row.logIndex, hidden: row.hidden })
    }
    if (events.length > MOST) throw tooMany(id)
  }
  return { events, altered, verdict: null }
}

async function fromBundle(given: Given, file: string, target: HistoryTarget): Promise<Read> {
  const events: LoggedEvent[] = []
  const verdict = await verifyBundle(readFileInPlace(file), await bundleTrust(readPins(given)), {
    onEvent: (event, logIndex) => {
      const logged = { ...event, logIndex, hidden: event.fieldCount - event.disclosures.length }
      if (!mayBeAbout(logged, target)) return
      if (events.length === MOST) throw tooMany(target.id)
      events.push(logged)
    },
  }).catch((error) => {
    throw unreadBundle(error, file)
  })
  return { events, altered: 0, verdict }
}

const tooMany = (id: string) =>
  new KillickError(
    'refused',
    `There are more than ${MOST.toLocaleString('en')} events of ${id}: make a bundle of a part of them`,
  )

function exitOf(told: TargetHistory, altered: number, verdict: BundleVerdict | null): number {
  if (altered > 0 || told.steps.some(({ contradictions }) => contradictions.length > 0)) return EXIT.failed
  if (verdict === null) return EXIT.ok
  return verdict.outcome === 'verified' && verdict.completeness.verdict === 'complete' ? EXIT.ok : EXIT.undecided
}

function timeOf(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  const trimmed = text.trim()
  const time = parseTime(/^\d{4}-\d\d-\d\d$/.test(trimmed) ? `${trimmed}T00:00:00Z` : trimmed)
  if (time === null) throw new UsageError(`--${name} is not a time such as 2027-01-31 or 2027-01-31T12:00:00Z: ${text}`)
  return time
}
