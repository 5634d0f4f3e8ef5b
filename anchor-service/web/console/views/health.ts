import type { ReadinessAnswer } from '../../../src/http/answers.ts'
import { h } from '../../shared/dom.ts'
import { said } from '../../shared/text.ts'
import { readiness } from '../api.ts'
import { count, list, view, watched } from '../parts.ts'

type Audit = ReadinessAnswer['audit']
type Target = NonNullable<ReadinessAnswer['anchoring']>['targets'][number]

/** How the parts stand. */
export async function health(_search: unknown, signal: AbortSignal): Promise<HTMLElement> {
  return view('Health', await watched(readiness, parts, signal))
}

function parts(ready: ReadinessAnswer): HTMLElement[] {
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
