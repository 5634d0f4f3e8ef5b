import type { ReadinessAnswer, RetentionAnswer } from '../../../src/http/answers.ts'
import { h } from '../../shared/dom.ts'
import { said } from '../../shared/text.ts'
import { plural } from '../../shared/words.ts'
import { api, readiness } from '../api.ts'
import { count, faultOf, list, view, watched } from '../parts.ts'

type Audit = ReadinessAnswer['audit']
type Target = NonNullable<ReadinessAnswer['anchoring']>['targets'][number]

/** How the parts stand. */
export async function health(_search: unknown, signal: AbortSignal): Promise<HTMLElement> {
  const read = () => Promise.all([readiness(), api<RetentionAnswer>('/v1/retention').catch(faultOf)])
  return view('Health', await watched(read, parts, signal))
}

/** @param retention or why it is not known, while the service says how ready it is even so */
function parts([ready, retention]: [ReadinessAnswer, RetentionAnswer | string]): HTMLElement[] {
  const isReady = ready.status === 'ready'
  const targets = ready.anchoring?.targets ?? []
  const { logSize, anchoredSize } = ready
  return [
    h(
      'p',
      { class: `state ${isReady ? 'open' : 'revoked'}` },
      isReady ? 'The service takes batches.' : 'The service is not ready.',
    ),
    list({
      Database: ready.writable ? 'answers' : ready.database ? 'answers, but does not store' : 'does not answer',
      'Log entries': logSize === null ? 'unknown' : count(logSize),
      'Not anchored yet': logSize === null ? 'unknown' : count(Math.max(0, logSize - (anchoredSize ?? 0))),
      Audit: h('a', { href: '#/audit' }, auditInWords(ready.audit)),
    }),
    ...(targets.length === 0
      ? [h('p', { class: 'note' }, 'No anchor worker runs in this process.')]
      : targets.flatMap(target)),
    ...(typeof retention === 'string'
      ? [h('h2', {}, 'Retention'), h('p', { class: 'bad note' }, said(retention))]
      : retention.policies.length === 0
        ? []
        : policies(retention)),
  ]
}

/** What goes after how many days, and how far that has come. */
function policies({ policies: all, clock }: RetentionAnswer): HTMLElement[] {
  const covered = ({ source, stream, action }: RetentionAnswer['policies'][number]['covers']) =>
    [source, stream, action].filter(Boolean).join(', ') || 'everything'
  return [
    h('h2', {}, 'Retention'),
    h(
      'p',
      { class: 'note' },
      clock === null
        ? 'Nothing is anchored for good yet, so nothing expires.'
        : `How old an event is, anchors say; the newest that is final is of ${clock.time}.`,
    ),
    list(
      Object.fromEntries(
        all.map(({ id, version, covers, contentsDays, eventsDays, state, expired, held, dropped, dropHeld }) => {
          const after = `contents go after ${plural(contentsDays, 'day')}${eventsDays === null ? '' : `, events after ${count(eventsDays)}`}`
          const what = `${plural(expired, 'event')} expired${held === null ? '' : `, ${count(held)} held`}`
          const gone =
            eventsDays === null && dropped === 0
              ? ''
              : `; ${count(dropped)} dropped${dropHeld === null ? '' : `, ${count(dropHeld)} held`}`
          const text = `${covered(covers)}: ${after}${state === 'ended' ? ' (ended)' : ''}; ${what}${gone}`
          return [`${id}, version ${version}`, said(text)]
        }),
      ),
    ),
  ]
}

function auditInWords(audit: Audit): string {
  if (audit === null) return 'switched off'
  if (audit.failed) return 'failed: the ledger is not what was recorded'
  if (audit.last === null) return 'none has ended yet'
  return audit.last.outcome === 'pass' ? 'passed' : 'undecided'
}

function target({ target: name, state, alarm, detail, publisher, funds, queue, nodes = [] }: Target): HTMLElement[] {
  return [
    h('h2', {}, 'Anchoring: ', said(name)),
    list({
      State: said([state, detail].filter(Boolean).join(', ')),
      ...(alarm !== null && alarm !== undefined && { Alarm: said(alarm) }),
      ...(funds && {
        Balance: `${ether(funds.balance)} ether, enough for ${funds.anchors.toLocaleString('en')} anchors${funds.isLow ? ': running low' : ''}`,
      }),
      Publisher: publisher,
      ...(queue && {
        Queue: said(`${queue.backend}, ${queue.isUp ? 'up' : `down: ${queue.detail ?? 'no reason given'}`}`),
      }),
      Nodes: said(
        nodes.map((n) => `${n.node}: ${n.fault === null ? 'answers' : `${n.fault} ${n.detail ?? ''}`}`).join('; '),
      ),
    }),
  ]
}

/** Four decimals; wei do not fit into a number. */
function ether(wei: string): string {
  return (Number(BigInt(wei) / 10n ** 14n) / 10_000).toLocaleString('en', { maximumFractionDigits: 4 })
}
