import { type AnchorRow, parseAnchorRow, readPages } from '../audit/answers.ts'
import { printHash } from '../core/hash.ts'
import { accessOf, openAccess } from './access.ts'
import { type Command, EXIT, integer, readArgs } from './command.ts'
import { ANCHORS } from './table/reading.ts'
import { count, joined, json, lines, out, type Printed, padded, paint, type Text, widthOf } from './terminal.ts'

/** Largest page that the service gives. */
const PAGE = 500

export const anchors: Command = {
  run: async (args) => {
    const given = readArgs(ANCHORS, args)
    const { values } = given
    const limit = integer(values.limit, 'limit', 1)
    const api = openAccess(accessOf(ANCHORS, given))
    const rows: AnchorRow[] = []
    let next: string | null = null
    const pageSize = () => Math.min(PAGE, limit - rows.length)
    for await (const page of readPages(api, '/v1/anchors', 'anchors', pageSize, parseAnchorRow)) {
      rows.push(...page.rows)
      next = page.next
      if (rows.length >= limit) break
    }
    if (values.json) out(json({ anchors: rows.map((row) => ({ ...row, root: printHash(row.root) })), next }))
    else out(rows.length === 0 ? 'Nothing is anchored yet, and nothing is planned.' : report(rows, next !== null))
    return EXIT.ok
  },
}

const HEADS = ['target', 'size', 'state', 'block', 'time (UTC)', 'gas', 'fee (gwei)', 'per event', 'transaction']
const NUMBERS = new Set(['size', 'block', 'gas', 'fee (gwei)', 'per event'])

function report(rows: readonly AnchorRow[], isPart: boolean): Text {
  const cells = rows.map((row): Printed[] => [
    row.target,
    row.size.toLocaleString('en'),
    stateOf(row),
    row.block ?? '',
    row.time === null ? '' : new Date(row.time * 1000).toISOString().slice(0, 19).replace('T', ' '),
    row.gasUsed?.toLocaleString('en') ?? '',
    row.fee === null ? '' : gwei(Number(row.fee)),
    row.fee === null || row.events === 0 ? '' : gwei(Number(row.fee) / row.events),
    row.transaction ?? '',
  ])
  const widths = HEADS.map((head, i) => Math.max(head.length, ...cells.map((line) => widthOf(line[i]!))))
  const pad = (cell: Printed, i: number) => {
    if (i === HEADS.length - 1) return cell
    return padded(cell, widths[i]!, NUMBERS.has(HEADS[i]!) ? 'left' : 'right')
  }
  const table = cells.map((line, n) =>
    joined(
      line.map((cell, i) => (HEADS[i] === 'state' ? paint(colourOf(rows[n]!.state), pad(cell, i)) : pad(cell, i))),
      '  ',
    ),
  )
  return lines([
    paint('bold', joined(HEADS.map(pad), '  ')),
    ...table,
    '',
    ...totals(rows),
    ...(isPart ? [`These are the newest ${rows.length}; --limit lists more.`] : []),
  ])
}

const SETTLED = ['confirmed', 'final']

const isSettled = ({ state }: AnchorRow) => SETTLED.includes(state)

/** A state that may still change is shown as such, so that nobody takes a mined block for an anchor that counts. */
function stateOf(row: AnchorRow): string {
  if (isSettled(row) || row.state === 'abandoned') return row.state
  const depth = row.state === 'mined' && row.confirmations !== null ? `, ${count(row.confirmations, 'block')} deep` : ''
  return `pending: ${row.state}${depth}`
}

const colourOf = (state: string) => (SETTLED.includes(state) ? 'green' : state === 'abandoned' ? 'red' : 'yellow')

/** A line for each target, since each chain has its own currency. */
function totals(rows: readonly AnchorRow[]): string[] {
  const places = Map.groupBy(rows, ({ target, chainId }) => `${target} (chain ${chainId})`)
  return [...places].map(([place, own]) => {
    const settled = own.filter(isSettled).length
    const abandoned = own.filter(({ state }) => state === 'abandoned').length
    const pending = own.length - settled - abandoned
    const paid = own.filter(({ fee }) => fee !== null)
    const sum = (value: (row: AnchorRow) => number) => paid.reduce((total, row) => total + value(row), 0)
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

/** wei as gwei: whole if large, four digits if small. */
const gwei = (wei: number): string =>
  (wei / 1e9).toLocaleString('en', {
    maximumSignificantDigits: 4,
    maximumFractionDigits: 0,
    roundingPriority: 'morePrecision',
  })
