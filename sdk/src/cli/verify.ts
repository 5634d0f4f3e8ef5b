import { MAX_PROOF_BYTES, type Proof, parseProof } from '../core/proof.ts'
import { readAnchors } from '../verify/read-anchors.ts'
import { type ChainNode, openNodes } from '../verify/rpc.ts'
import type { PinnedLog } from '../verify/trust.ts'
import type { Verdict } from '../verify/verdict.ts'
import { verifyProof } from '../verify/verify-proof.ts'
import { inWords, type VerdictInWords } from '../words/words.ts'
import { accessTo, openAccess, URL_TOKEN_HELP } from './access.ts'
import { type Command, EXIT, integer, readArgs } from './command.ts'
import { isForkFile, verifyFork } from './fork.ts'
import { readInput } from './input.ts'
import { ANY_CHAIN, PIN_HELP, PIN_OPTIONS, readLogKey, readPinnedLog, readSourceKey } from './pins.ts'
import {
  checkLines,
  count,
  json,
  lines,
  out,
  own,
  type Printed,
  padded,
  paint,
  type Text,
  text,
  widthOf,
} from './terminal.ts'
import { type Backing, trustLines } from './trust-words.ts'

export const verify: Command = {
  summary: 'check a proof, without trusting whoever gave it to you',
  help: `killick verify: check a proof, without trusting whoever gave it to you

Usage: killick verify <file | URL | -> [--rpc <url>] [--contract <0x…> --log-id <0x…>] [--log-key <vkey>]
                      [--source-key <name=jwk>]

Prints every check as passed, failed or skipped with the reason, and the verdict. Keys and addresses inside a proof are claims;
what counts is what you pin, from a place you trust. What you leave out is skipped, and the verdict is then "undecided" and
says whose word it rests on. A skipped check never hides a failed one.

Given evidence that a log has two histories (killick-fork/1, from a recorder or killick compare), it says what the two signed
notes in it show; this needs --log-key alone.

${PIN_HELP}
  --confirmations <n>   blocks that make an anchor final on a chain without finality of its own; default 12
${URL_TOKEN_HELP}
  --json                print the verdict as JSON

Exit codes: 0 verified (of evidence: the notes agree) · 1 failed (they contradict each other, under the pinned key) · 2 wrong
usage, or not a proof · 3 undecided: not anchored yet, a node or the URL could not be reached, or not everything was pinned

Examples:
  killick verify proof.json
  killick verify proof.json --rpc https://rpc.example.com --contract 0x5FbD… --log-id 0x9c1e… \\
      --log-key ledger.example.com+1f2e3d4c+AQ… --source-key billing-api=billing-api.pub.json
`.trimEnd(),
  run: async (args) => {
    const { values, positionals } = readArgs(
      args,
      {
        ...PIN_OPTIONS,
        confirmations: { type: 'string' },
        token: { type: 'string' },
        'plain-http': { type: 'boolean', default: false },
      },
      ['file'],
    )
    const logKeys = values['log-key'].map(readLogKey)
    const sourceKeys = values['source-key'].map(readSourceKey)
    const confirmations = values.confirmations === undefined ? null : integer(values.confirmations, 'confirmations', 1)
    // The contract is read once its chain is known; a fault in the options is reported before anything is asked.
    readPinnedLog(values)
    const input = await load(positionals[0]!, values)
    if (isForkFile(input)) return verifyFork(input, logKeys, values.json)
    const proof = parseProof(input)
    const nodes = await openNodes(values.rpc)
    const { pinned, asked } = placePin(proof, values, nodes)
    const verdict = verifyProof(proof, {
      logKeys,
      sourceKeys,
      logs: pinned ? [pinned] : [],
      facts: nodes.length > 0 ? await readAnchors(proof, asked) : [],
      ...(confirmations !== null && { confirmations }),
    })
    const told = inWords(verdict)
    out(values.json ? json(told) : report(told, proof))
    return { verified: EXIT.ok, failed: EXIT.failed, undecided: EXIT.undecided }[verdict.outcome]
  },
}

async function load(place: string, access: { token?: string | undefined; 'plain-http': boolean }): Promise<Uint8Array> {
  if (!/^https?:\/\//i.test(place)) return readInput(place, MAX_PROOF_BYTES)
  // A stranger may be behind a link, so the command does not wait for it without limit.
  return openAccess(accessTo(place, access), { patience: 0 }).bytes('', MAX_PROOF_BYTES)
}

/**
 * The pinned log, and the nodes to ask. Without --chain-id the chain is that of the first node that answers. A contract and its
 * logs have the same names on all chains, so these nodes can neither confirm nor deny a proof from another chain; the pin is then
 * taken to be on that chain, of which no node is asked. If no node answers, the chain that the proof names is used, so that the
 * verdict can say what is missing.
 */
function placePin(
  proof: Proof,
  values: Parameters<typeof readPinnedLog>[0],
  nodes: readonly ChainNode[],
): { pinned: PinnedLog | null; asked: readonly ChainNode[] } {
  const first = nodes.find(({ chainId }) => chainId !== null)?.chainId ?? null
  const pin = readPinnedLog(values, first ?? ANY_CHAIN)
  if (pin === null || values['chain-id'] !== undefined) return { pinned: pin, asked: nodes }
  const claims = proof.anchors.filter(({ contract, logId }) => contract === pin.contract && logId === pin.logId)
  if (first !== null && (claims.length === 0 || claims.some(({ chainId }) => chainId === first)))
    return { pinned: pin, asked: nodes }
  const chainId = (claims[0] ?? proof.anchors[0])?.chainId ?? ANY_CHAIN
  return { pinned: { ...pin, chainId }, asked: nodes.filter((node) => node.chainId !== chainId) }
}

const COLOURS = { verified: 'green', failed: 'red', undecided: 'yellow' } as const

function report(verdict: VerdictInWords, proof: Proof): Text {
  const { outcome, level, checks, event, missing, anchoredAt, times, registrations } = verdict
  const reached = level === 'none' ? '' : text`, as far as ${paint('bold', level)}`
  const backing = backingOf(verdict, proof.log.origin)
  const isPinned = backing.every(({ by }) => by === 'you')
  const whose = outcome !== 'failed' && isPinned ? ': pinned by you' : ''
  return lines([
    ...(event ? [...describe(event), ''] : []),
    ...checkLines(checks),
    '',
    ...(outcome === 'failed' ? [] : [trustLines(backing), '']),
    text`${paint(['bold', COLOURS[outcome]], outcome.toUpperCase())}${reached}${whose}`,
    ...(anchoredAt ? [`The event existed by ${anchoredAt}, the time of the block that anchors it.`] : []),
    ...(times?.after ? [`It was not yet in the log as anchored at ${times.after}.`] : []),
    ...(times?.outside
      ? [
          paint(
            'yellow',
            `A time that it claims lies ${times.outside} what these anchors allow, by more than ${times.toleranceMs / 1000} s.`,
          ),
        ]
      : []),
    ...(registrations.length > 0
      ? [own('What the log says of the source’s keys:'), ...registrations.map(keyWord)]
      : []),
    ...list('Missing for "verified"', missing),
  ])
}

/** Shows a second key, or a change of a key's period. */
function keyWord({ logIndex, kid, notBefore, notAfter, anchoredAt }: Verdict['registrations'][number]): Text {
  const valid = [notBefore && `from ${notBefore}`, notAfter && `until ${notAfter}`].filter(Boolean).join(' ')
  const since = anchoredAt ? `, anchored since ${anchoredAt}` : ', not anchored'
  return text`  · entry ${logIndex}${since}: key ${kid}${valid && `, valid ${valid}`}`
}

/** On whose word the keys and the contract rest. */
function backingOf({ checks }: VerdictInWords, origin: string): Backing[] {
  const statusOf = (id: string) => checks.find((check) => check.id === id)?.status
  const word = { name: origin }
  const by = (status: string | undefined): Backing['by'] =>
    status === 'passed' ? 'you' : status === 'failed' ? 'fails' : word
  const anchors = checks.flatMap(({ id }) => /^anchor\.\d+(?=\.contract$)/.exec(id) ?? [])
  const held = anchors.filter((anchor) => statusOf(`${anchor}.contract`) === 'passed')
  const pinned = held.some((anchor) => statusOf(`${anchor}.log`) === 'passed')
  return [
    { what: 'the source’s key', by: by(statusOf('source.key')) },
    { what: 'the log’s key', by: by(statusOf('log.signature')) },
    { what: 'the contract', by: held.length === 0 ? 'nobody' : pinned ? 'you' : word },
  ]
}

const list = (title: string, items: readonly string[]): Text[] =>
  items.length === 0 ? [] : [own(`${title}:`), ...items.map((item) => text`  · ${item}`)]

const OUTCOME_COLOURS: Record<string, 'red' | 'reset'> = { denied: 'red', failure: 'red' }

function describe(event: NonNullable<Verdict['event']>): Text[] {
  const { outcome, occurredAt, ...others } = event.fields
  const hidden = event.hiddenFields
  // Nobody can tell whether such a field is among those that are not shown.
  const absent = hidden > 0 ? 'not among what is shown' : 'not recorded'
  const rows: [string, Printed][] = [
    ['event', event.id],
    ['recorded', `${event.recordedAt} by the clock of ${event.source}, number ${event.seq} of stream ${event.stream}`],
    ['occurredAt', occurredAt === undefined ? (hidden > 0 ? absent : 'as recorded') : describeField(occurredAt)],
    ['outcome', typeof outcome === 'string' ? paint(['bold', OUTCOME_COLOURS[outcome] ?? 'reset'], outcome) : absent],
    ...Object.entries(others).map(([name, value]): [string, string] => [name, describeField(value)]),
  ]
  const width = Math.max(...rows.map(([name]) => widthOf(name)))
  const unshown =
    hidden === 0
      ? []
      : [
          `${count(hidden, 'field')} ${hidden === 1 ? 'is' : 'are'} not shown${
            outcome === undefined ? '; whether the action succeeded is not shown' : ''
          }`,
          ...(event.missingFields > 0
            ? [`${count(event.missingFields, 'field')} of these the ledger no longer holds, by its own word`]
            : []),
        ]
  return [
    ...rows.map(
      ([name, value]) => text`${paint('bold', padded(name, width))}  ${typeof value === 'string' ? cut(value) : value}`,
    ),
    ...unshown.map((line) => paint('yellow', line)),
  ]
}

// A longer value would push the checks off the screen.
const MAX_SHOWN = 600

function cut(value: string): string {
  if (value.length <= MAX_SHOWN) return value
  return `${value.slice(0, MAX_SHOWN)} … (${(value.length - MAX_SHOWN).toLocaleString('en')} more characters; --json shows them)`
}

/** People would rather read "user ada (Ada Lovelace)" than JSON; a value of another form is shown as JSON. */
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
