import { openApi } from '../audit/api.ts'
import { KillickError } from '../core/errors.ts'
import { isObject } from '../core/json.ts'
import { type Command, EXIT, integer, readArgs, required } from './command.ts'
import { count, out, paint, printable } from './terminal.ts'

/** What the service lists of an anchor, as far as it is printed. Amounts are wei as decimal text. */
type Row = {
  target: string
  chainId: number
  size: number
  state: string
  block: number | null
  /** block time, unix seconds */
  time: number | null
  confirmations: number | null
  gasUsed: number | null
  fee: string | null
  events: number
  transaction: string | null
}

/** Most that the service gives at a time. */
const PAGE = 500

export const anchors: Command = {
  summary: 'list anchors: what became of them, and what they cost',
  help: `killick anchors: list anchors, what became of them, and what they cost

Usage: killick anchors [--limit <n>] [--url <url>] [--token <token>]

Lists the newest anchors first, as the service tells it; killick audit holds them against the chain. Only a confirmed or final
anchor counts. Any other is pending and is sent until it counts, also one that was reorganised or dropped; an abandoned one
never will. Fees are in gwei of the chain's own currency, per event over the events that the anchor is the first to cover.

  --limit <n>       how many to list, the newest; default 50
  --url <url>       the service; or KILLICK_URL
  --token <token>   a reader token of the service; or KILLICK_TOKEN, which keeps it out of the list of processes
  --json            print the list as JSON, with fees in wei

Exit codes: 0 listed · 2 wrong usage, or refused · 3 the service could not be reached

Example:
  killick anchors --url http://127.0.0.1:8787 --limit 10
`.trimEnd(),
  run: async (args) => {
    const { values } = readArgs(args, {
      limit: { type: 'string', default: '50' },
      url: { type: 'string' },
      token: { type: 'string' },
      json: { type: 'boolean', default: false },
    })
    const limit = integer(values.limit, 'limit', 1)
    const api = openApi(required(values.url, 'url', 'KILLICK_URL'), values.token ?? process.env.KILLICK_TOKEN)
    const rows: Row[] = []
    let next: string | null = ''
    while (next !== null && rows.length < limit) {
      const cursor = next && `&cursor=${encodeURIComponent(next)}`
      const page = await api.json(`/v1/anchors?limit=${Math.min(PAGE, limit - rows.length)}${cursor}`)
      if (!isObject(page) || !Array.isArray(page.anchors))
        throw new KillickError('json_invalid', '/v1/anchors is not a list')
      rows.push(...(page.anchors as unknown as Row[]))
      next = typeof page.next === 'string' ? page.next : null
    }
    if (values.json) out(JSON.stringify({ anchors: rows, next }, null, 2))
    else out(rows.length === 0 ? 'Nothing is anchored yet, and nothing is planned.' : report(rows, next !== null))
    return EXIT.ok
  },
}

const HEADS = ['target', 'size', 'state', 'block', 'time (UTC)', 'gas', 'fee (gwei)', 'per event', 'transaction']
const NUMBERS = new Set(['size', 'block', 'gas', 'fee (gwei)', 'per event'])

function report(rows: readonly Row[], isPart: boolean): string {
  const cells = rows.map((row) => [
    printable(row.target),
    row.size.toLocaleString('en'),
    stateOf(row),
    row.block === null ? '' : String(row.block),
    row.time === null ? '' : new Date(row.time * 1000).toISOString().slice(0, 19).replace('T', ' '),
    row.gasUsed?.toLocaleString('en') ?? '',
    row.fee === null ? '' : gwei(Number(row.fee)),
    row.fee === null || row.events === 0 ? '' : gwei(Number(row.fee) / row.events),
    printable(row.transaction ?? ''),
  ])
  const widths = HEADS.map((head, i) => Math.max(head.length, ...cells.map((line) => line[i]!.length)))
  const pad = (text: string, i: number) =>
    NUMBERS.has(HEADS[i]!) ? text.padStart(widths[i]!) : text.padEnd(widths[i]!)
  const table = cells.map((line, n) =>
    line
      .map((text, i) => (HEADS[i] === 'state' ? paint(colourOf(rows[n]!.state), pad(text, i)) : pad(text, i)))
      .join('  ')
      .trimEnd(),
  )
  return [
    paint('bold', HEADS.map(pad).join('  ').trimEnd()),
    ...table,
    '',
    ...totals(rows),
    ...(isPart ? [`These are the newest ${rows.length}; --limit lists more.`] : []),
  ].join('\n')
}

const SETTLED = ['confirmed', 'final']

const isSettled = ({ state }: Row) => SETTLED.includes(state)

/** What still moves says so, so that nobody takes a block for an anchor that counts. */
function stateOf(row: Row): string {
  if (isSettled(row) || row.state === 'abandoned') return row.state
  const depth = row.state === 'mined' && row.confirmations !== null ? `, ${count(row.confirmations, 'block')} deep` : ''
  return `pending: ${printable(row.state)}${depth}`
}

const colourOf = (state: string) => (SETTLED.includes(state) ? 'green' : state === 'abandoned' ? 'red' : 'yellow')

/** A line for each target, as each chain has a currency of its own. */
function totals(rows: readonly Row[]): string[] {
  const places = Map.groupBy(rows, ({ target, chainId }) => `${printable(target)} (chain ${chainId})`)
  return [...places].map(([place, own]) => {
    const settled = own.filter(isSettled).length
    const abandoned = own.filter(({ state }) => state === 'abandoned').length
    const pending = own.length - settled - abandoned
    const paid = own.filter(({ fee }) => fee !== null)
    const sum = (value: (row: Row) => number) => paid.reduce((total, row) => total + value(row), 0)
    const fee = sum((row) => Number(row.fee))
    const events = sum((row) => row.events)
    const cost =
      paid.length === 0
        ? []
        : [
            `${sum((row) => row.gasUsed ?? 0).toLocaleString('en')} gas, ${gwei(fee)} gwei${
              events === 0 ? '' : ` for ${count(events, 'event')}: ${gwei(fee / events)} gwei each`
            }`,
          ]
    return `${place}: ${[`${settled} anchored, ${pending} pending, ${abandoned} abandoned`, ...cost].join('; ')}`
  })
}

/** wei as gwei: whole where large, four digits where small. */
const gwei = (wei: number): string =>
  (wei / 1e9).toLocaleString('en', {
    maximumSignificantDigits: 4,
    maximumFractionDigits: 0,
    roundingPriority: 'morePrecision',
  })
