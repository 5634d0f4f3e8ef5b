import { h } from '../../page/dom.ts'
import { said } from '../../page/text.ts'
import { tree } from '../../page/views/record.ts'
import { type Anchor, api, type Json } from '../api.ts'
import { view } from '../parts.ts'

type Target = {
  target: string
  state: string
  alarm: string | null
  detail: string | null
  publisher: string
  funds?: { balance: string; anchors: number; isLow: boolean } | null
  queue?: { backend: string; isUp: boolean; detail: string | null }
  nodes?: { node: string; fault: string | null; detail: string | null }[]
}
type Readiness = {
  status: string
  database: boolean
  logSize: number | null
  anchoring: { targets?: Target[] } | null
  [more: string]: unknown
}

const SHOWN = ['status', 'database', 'logSize', 'anchoring']

/** How the parts stand, looked at anew every few seconds. */
export async function health(_search: unknown, signal: AbortSignal): Promise<HTMLElement> {
  const place = h('div', {})
  const draw = async () => {
    const [ready, { anchors }] = await Promise.all([
      api<Readiness>('/readyz'),
      api<{ anchors: Anchor[] }>('/v1/anchors?limit=200'),
    ])
    const anchored = Math.max(
      0,
      ...anchors.filter(({ state }) => state === 'confirmed' || state === 'final').map(({ size }) => size),
    )
    place.replaceChildren(...parts(ready, anchored))
  }
  await draw()
  const timer = setInterval(() => void draw().catch(() => {}), 3000)
  signal.addEventListener('abort', () => clearInterval(timer))
  return view('Health', place)
}

function parts(ready: Readiness, anchored: number): HTMLElement[] {
  const isReady = ready.status === 'ready'
  const targets = ready.anchoring?.targets ?? []
  const more = Object.entries(ready).filter(([name, value]) => !SHOWN.includes(name) && value !== null)
  return [
    h(
      'p',
      { class: `state ${isReady ? 'open' : 'revoked'}` },
      isReady ? 'The service takes batches.' : 'The service is not ready.',
    ),
    list({
      Database: ready.database ? 'answers' : 'does not answer',
      'Log entries': ready.logSize?.toLocaleString('en') ?? 'unknown',
      'Not anchored yet':
        ready.logSize === null ? 'unknown' : Math.max(0, ready.logSize - anchored).toLocaleString('en'),
    }),
    ...more.flatMap(([name, value]) => [h('h2', {}, said(name)), tree(value as Json as Parameters<typeof tree>[0])]),
    ...(targets.length === 0
      ? [h('p', { class: 'note' }, 'No anchor worker runs in this process.')]
      : targets.flatMap(target)),
  ]
}

function target({ target: name, state, alarm, detail, publisher, funds, queue, nodes = [] }: Target): HTMLElement[] {
  return [
    h('h2', {}, 'Anchoring: ', said(name)),
    list({
      State: [state, detail].filter(Boolean).join(', '),
      ...(alarm !== null && alarm !== undefined && { Alarm: alarm }),
      ...(funds && {
        Balance: `${ether(funds.balance)} ether, enough for ${funds.anchors.toLocaleString('en')} anchors${funds.isLow ? ': running low' : ''}`,
      }),
      Publisher: publisher,
      ...(queue && { Queue: `${queue.backend}, ${queue.isUp ? 'up' : `down: ${queue.detail ?? 'no reason given'}`}` }),
      Nodes: nodes.map((n) => `${n.node}: ${n.fault === null ? 'answers' : `${n.fault} ${n.detail ?? ''}`}`).join('; '),
    }),
  ]
}

function list(entries: Record<string, string>): HTMLElement {
  return h(
    'dl',
    {},
    ...Object.entries(entries).flatMap(([name, value]) => [h('dt', {}, name), h('dd', {}, said(value))]),
  )
}

/** Four decimals; wei do not fit into a number. */
function ether(wei: string): string {
  return (Number(BigInt(wei) / 10n ** 14n) / 10_000).toLocaleString('en', { maximumFractionDigits: 4 })
}
