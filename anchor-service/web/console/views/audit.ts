/** How far the audit in the background is, and what the last one found. */
import type { ReadinessAnswer } from '../../../src/http/answers.ts'
import { type Child, h } from '../../shared/dom.ts'
import { said } from '../../shared/text.ts'
import { readiness } from '../api.ts'
import { count, empty, hrefOf, list, span, view, watched, when } from '../parts.ts'

type Audit = NonNullable<ReadinessAnswer['audit']>
type AuditEnd = NonNullable<Audit['last']>

export async function audit(_search: unknown, signal: AbortSignal): Promise<HTMLElement> {
  const place = await watched(
    () => readiness().then(({ audit }) => audit),
    (status) => (status === null ? [off()] : parts(status)),
    signal,
  )
  return view('Audit', place)
}

const off = () =>
  empty(
    'This process does not audit.',
    'Its audit is switched off, so it does not notice when somebody tampers with the database. Set an interval in ms to switch it on, or audit from elsewhere with killick audit:',
    'KILLICK_AUDIT_INTERVAL_MS=3600000',
  )

function parts(status: Audit): Child[] {
  const { last, passed, failed, pace, intervalMs } = status
  return [
    verdict(status),
    progress(status),
    last !== null && section('The last audit', last),
    passed !== null && passed.at !== last?.at && section('The last that passed', passed),
    last !== null && passed === null && failed && h('p', { class: 'note' }, 'No audit is known to have passed.'),
    h('h2', {}, 'Settings'),
    list({
      Interval: `${setTime(intervalMs)} from the end of one audit to the beginning of the next`,
      Pace: pace === 0 ? 'as fast as it goes' : `at most ${count(pace)} events per second`,
    }),
  ]
}

function verdict({ failed, last }: Audit): HTMLElement {
  if (failed) return h('p', { class: 'state revoked', role: 'status' }, 'The ledger is not what was recorded.')
  if (last === null)
    return empty(
      'No audit has ended yet.',
      'The first begins within half a minute of the start of the service. What it finds is shown here.',
    )
  return last.outcome === 'pass'
    ? h('p', { class: 'state open' }, 'When it was last audited, the ledger was what was recorded.')
    : h('p', { class: 'state expired' }, 'Nothing is known to be wrong, but not everything could be checked.')
}

function progress({ state, progress: done, began, next }: Audit): HTMLElement {
  if (state === 'elsewhere')
    return h('p', {}, 'Another process on this database audits. What it recorded last is shown here.')
  if (state === 'waiting') return h('p', {}, 'The next audit begins ', next ? at(next) : 'soon', '.')
  const size = done?.size ?? 0
  return h(
    'div',
    {},
    h('p', {}, 'An audit has been running since ', began ? at(began) : 'a moment ago', '.'),
    h('progress', { max: Math.max(1, size), value: done?.batches ?? 0, 'aria-label': 'Log entries audited' }),
    h(
      'p',
      { class: 'note' },
      done === null
        ? 'It is reading what to check.'
        : `${count(done.batches)} of ${count(size)} log entries, ${count(done.events)} events`,
    ),
  )
}

const OUTCOMES = { pass: 'passed', fail: 'failed', undecided: 'undecided' } as const

function section(title: string, { outcome, at: end, seconds, size, events, first, findings }: AuditEnd): HTMLElement {
  return h(
    'div',
    {},
    h('h2', {}, title),
    list({
      Outcome: OUTCOMES[outcome],
      Ended: at(end),
      Took: seconds < 60 ? `${seconds.toLocaleString('en', { maximumSignificantDigits: 3 })} s` : span(seconds),
      Checked:
        events === null || size === null
          ? 'nothing'
          : `${count(events)} events in the first ${count(size)} entries of the log`,
      'First at fault': first && fault(first),
      ...(findings.length > 0 && {
        [outcome === 'fail' ? 'Failed' : 'Left open']: h(
          'ul',
          { class: 'plain' },
          ...findings.map(({ check, reason, detail }) =>
            h('li', {}, h('code', {}, `${check}: ${reason}`), ' ', said(detail)),
          ),
        ),
      }),
    }),
  )
}

function fault({ logIndex, source, stream, seq, message }: NonNullable<AuditEnd['first']>): HTMLElement {
  const event =
    source !== undefined && stream !== undefined && seq !== undefined
      ? [h('a', { href: hrefOf({ source, stream, seq }) }, `event ${count(seq)} of ${source}/${stream}`), ', ']
      : []
  return h('span', {}, ...event, `log entry ${count(logIndex)}: `, said(message))
}

const at = (iso: string): HTMLElement => h('span', {}, when(iso), ' UTC')
const setTime = (ms: number): string => (ms < 60_000 ? `${count(ms / 1000)} s` : span(ms / 1000))
