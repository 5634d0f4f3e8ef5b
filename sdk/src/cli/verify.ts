import { readFile } from 'node:fs/promises'
import { text as readAll } from 'node:stream/consumers'
import { openApi } from '../audit/api.ts'
import { chainOf } from '../audit/chain.ts'
import { type Anchor, MAX_PROOF_BYTES, type Proof, parseProof } from '../core/proof.ts'
import { readAnchors } from '../verify/readAnchors.ts'
import type { Verdict } from '../verify/verdict.ts'
import { verifyProof } from '../verify/verifyProof.ts'
import { type Command, EXIT, integer, readArgs, UsageError } from './command.ts'
import { PIN_HELP, PIN_OPTIONS, readLogKey, readPinnedLog, readSourceKey } from './pins.ts'
import { checkLines, out, paint, printable } from './terminal.ts'

export const verify: Command = {
  summary: 'check a proof, without trusting whoever gave it to you',
  help: `killick verify: check a proof, without trusting whoever gave it to you

Usage: killick verify <file | URL | -> [--rpc <url>] [--contract <0x…> --log-id <0x…>] [--log-key <vkey>] [--source-key <jwk>]

Prints every check as passed, failed or skipped with the reason, and the verdict. Keys and addresses inside a proof are claims;
what counts is what you pin, from a place you trust. What you leave out is skipped, and the verdict is then "undecided" and
says whose word it rests on. A skipped check never hides a failed one.

${PIN_HELP}
  --confirmations <n>   blocks that make an anchor final on a chain without finality of its own; default 12
  --token <token>       for a proof behind a URL that asks for one; or KILLICK_TOKEN
  --json                print the verdict as JSON

Exit codes: 0 verified · 1 failed · 2 wrong usage, or not a proof · 3 undecided: not anchored yet, a node or the URL could not be
reached, or not everything was pinned

Examples:
  killick verify proof.json
  killick verify proof.json --rpc https://rpc.example.com --contract 0x5FbD… --log-id 0x9c1e… \\
      --log-key ledger.example.com+1f2e3d4c+AQ… --source-key billing-api.pub.json
`.trimEnd(),
  run: async (args) => {
    const { values, positionals } = readArgs(
      args,
      { ...PIN_OPTIONS, confirmations: { type: 'string' }, token: { type: 'string' } },
      ['file'],
    )
    const logKeys = values['log-key'].map(readLogKey)
    const sourceKeys = values['source-key'].map(readSourceKey)
    const confirmations = values.confirmations === undefined ? null : integer(values.confirmations, 'confirmations', 1)
    const proof = parseProof(await load(positionals[0]!, values.token ?? process.env.KILLICK_TOKEN))
    const pinned = readPinnedLog(values, values.contract === undefined ? 0 : await chainFor(proof, values))
    const verdict = verifyProof(proof, {
      logKeys,
      sourceKeys,
      logs: pinned ? [pinned] : [],
      facts: values.rpc.length > 0 ? await readAnchors(proof, values.rpc) : [],
      ...(confirmations !== null && { confirmations }),
    })
    out(values.json ? JSON.stringify(verdict, null, 2) : report(verdict))
    return { verified: EXIT.ok, failed: EXIT.failed, undecided: EXIT.undecided }[verdict.outcome]
  },
}

async function load(place: string, token: string | undefined): Promise<string> {
  if (place === '-') return readAll(process.stdin)
  if (/^https?:\/\//.test(place)) {
    const bytes = await openApi(place, token).bytes('', MAX_PROOF_BYTES)
    return new TextDecoder().decode(bytes)
  }
  return readFile(place, 'utf8').catch((error: Error) => {
    throw new UsageError(error.message)
  })
}

/**
 * The chain of a contract that was pinned without one. Where no node answers, nothing can come out as verified, and the
 * proof's own word will do to say what is missing.
 */
async function chainFor(
  proof: Proof,
  pin: { rpc: string[]; contract?: string | undefined; 'log-id'?: string | undefined },
): Promise<number> {
  const isPinned = (anchor: Anchor) =>
    anchor.contract === pin.contract?.toLowerCase() && anchor.logId === pin['log-id']?.toLowerCase()
  const claimed = proof.anchors.find(isPinned) ?? proof.anchors[0]
  return (await chainOf(pin.rpc)) ?? claimed?.chainId ?? 0
}

const COLOURS = { verified: 'green', failed: 'red', undecided: 'yellow' } as const

function report({ outcome, level, checks, event, restsOn, missing, anchoredAt }: Verdict): string {
  const verdict = paint(['bold', COLOURS[outcome]], outcome.toUpperCase())
  const level_ = level === 'none' ? '' : `, as far as ${paint('bold', level)}`
  return [
    ...(event ? [...describe(event), ''] : []),
    ...checkLines(checks),
    '',
    `${verdict}${level_}`,
    ...(anchoredAt ? [`The event existed by ${anchoredAt}, the time of the block that anchors it.`] : []),
    ...list('Rests on', restsOn),
    ...list('Missing for "verified"', missing),
  ].join('\n')
}

const list = (title: string, items: readonly string[]): string[] =>
  items.length === 0 ? [] : [`${title}:`, ...items.map((item) => `  · ${printable(item)}`)]

function describe(event: NonNullable<Verdict['event']>): string[] {
  const rows: [string, string][] = [
    ['event', event.id],
    ['recorded', `${event.recordedAt} by the clock of ${event.source}, number ${event.seq} of stream ${event.stream}`],
    ...Object.entries(event.fields).map(([name, value]): [string, string] => [name, describeField(value)]),
    ...(event.hiddenFields > 0 ? [['hidden', `${event.hiddenFields} fields`] as [string, string]] : []),
  ]
  const width = Math.max(...rows.map(([name]) => name.length))
  return rows.map(([name, value]) => `${paint('bold', name.padEnd(width))}  ${printable(cut(value))}`)
}

// A longer value would push the checks off the screen.
const MAX_SHOWN = 600

function cut(value: string): string {
  if (value.length <= MAX_SHOWN) return value
  return `${value.slice(0, MAX_SHOWN)} … (${(value.length - MAX_SHOWN).toLocaleString('en')} more characters; --json shows them)`
}

/** A person reads "user ada (Ada Lovelace)" rather than JSON; anything of another form is shown as the JSON it is. */
function describeField(value: unknown): string {
  const isParty = (item: unknown): item is { type: string; id: string; name?: string } =>
    typeof item === 'object' &&
    item !== null &&
    'type' in item &&
    'id' in item &&
    Object.keys(item).every((key) => ['type', 'id', 'name'].includes(key))
  const party = ({ type, id, name }: { type: string; id: string; name?: string }) =>
    `${type} ${id}${name ? ` (${name})` : ''}`
  if (typeof value === 'string') return value
  if (isParty(value)) return party(value)
  if (Array.isArray(value) && value.length > 0 && value.every(isParty)) return value.map(party).join(', ')
  return JSON.stringify(value)
}
