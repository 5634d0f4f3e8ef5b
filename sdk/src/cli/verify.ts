import { setTimeout as sleep } from 'node:timers/promises'
import { reading } from '../core/problem.ts'
import { type Proof, parseProof } from '../core/proof.ts'
import { verifyProof } from '../node/verify-proof.ts'
import type { UnsealedEvent } from '../sealing/index.ts'
import { readAnchors } from '../verify/read-anchors.ts'
import { type ChainNode, openNodes } from '../verify/rpc.ts'
import type { PinnedLog } from '../verify/trust.ts'
import type { Verdict } from '../verify/verdict.ts'
import { inWords, type VerdictInWords } from '../words/words.ts'
import { isOutage } from './access.ts'
import { isBundle, isBundleFile, verifyBundleFile } from './bundle/verify.ts'
import { type Command, EXIT, integer, readArgs, UsageError } from './command.ts'
import { isForkFile, verifyFork } from './fork.ts'
import { ANY_CHAIN, type Pinner, type PinSet, readPins } from './pins.ts'
import { mayChange, nameOf, type OpenedInput, openProofInput } from './proof-input.ts'
import { openUnseal, sealedWords } from './sealed.ts'
import { VERIFY } from './table/checking.ts'
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
import { type Backing, isPinned, pinnersOf, trustLines } from './trust-words.ts'
import { type Judge, verifyLines } from './verify-lines.ts'

export const verify: Command = {
  run: async (args) => {
    const given = readArgs(VERIFY, args)
    const { values, positionals } = given
    const pins = readPins(given)
    const confirmations =
      values.confirmations === undefined ? pins.confirmations : integer(values.confirmations, 'confirmations', 1)
    const judge = judgeBy(pins, confirmations)
    const until = performance.now() + 1000 * integer(values.wait, 'wait', 0)
    const place = positionals[0]!
    const unseal = await openUnseal(values['subject-keys'])
    const onlyProofs = () => {
      if (unseal !== null) throw new UsageError('--subject-keys is for a proof')
    }
    if (isBundleFile(place)) {
      onlyProofs()
      return verifyBundleFile(place, { ...pins, confirmations }, values.json)
    }
    let known: OpenedInput | null = null
    /** Why the last look found nothing. */
    let outage: unknown = null
    const look = async (): Promise<OpenedInput> => {
      try {
        const input = await openProofInput(place, values)
        outage = null
        return input
      } catch (error) {
        // A service that has answered once may restart while it is waited for.
        if (known === null || !isOutage(error)) throw error
        outage = error
        return known
      }
    }
    for (;;) {
      // A pipe gives what it has only once; where nothing can change, only the chain is asked again.
      const input: OpenedInput = known === null || mayChange(place) ? await look() : known
      known = input
      if (input.kind === 'lines') onlyProofs()
      if (input.kind === 'lines') return verifyLines(input.lines, await openNodes(pins.rpcs), judge, values.json)
      if (isForkFile(input.bytes)) return verifyFork(input.bytes, pins.logKeys, values.json)
      const { bytes } = input
      if (isBundle(bytes)) throw new UsageError(`${nameOf(place)} is a bundle, which has to be a file`)
      const proof = reading(nameOf(place), () => parseProof(bytes))
      const { verdict, backing } = await judge(proof, await openNodes(pins.rpcs))
      if (isWorthWaiting(verdict, place, pins)) {
        if (performance.now() < until) {
          await sleep(WAIT_MS)
          continue
        }
        // An anchor may have come since, and nobody saw.
        if (outage !== null && verdict.missing.includes('anchor')) throw outage
      }
      const told = inWords(verdict)
      const read = unseal && told.event ? await unseal(told.event) : null
      out(values.json ? json(read ? { ...told, unsealed: read } : told) : report(told, backing, read))
      return { verified: EXIT.ok, failed: EXIT.failed, undecided: EXIT.undecided }[verdict.outcome]
    }
  },
}

/** Between two looks with --wait. */
const WAIT_MS = 500

/** Whether the verdict may become another with time: an anchor may come to a link, and a node may catch up. */
function isWorthWaiting({ outcome, missing }: Verdict, place: string, { rpcs }: PinSet): boolean {
  if (outcome !== 'undecided') return false
  return (missing.includes('anchor') && mayChange(place)) || (missing.includes('chain') && rpcs.length > 0)
}

/** Judges proofs by pins. */
export function judgeBy(pins: PinSet, confirmations: number | undefined): Judge {
  const { logKeys, sourceKeys, timeTolerance, by } = pins
  return async (proof, nodes) => {
    const { logs, asked } = placePins(proof, pins, nodes)
    const verdict = verifyProof(proof, {
      ...{ logKeys, sourceKeys, logs },
      facts: nodes.length > 0 ? await readAnchors(proof, asked) : [],
      ...(confirmations !== undefined && { confirmations }),
      ...(timeTolerance !== undefined && { timeTolerance }),
    })
    return { verdict, backing: backingOf(verdict, proof.log.origin, by) }
  }
}

/**
 * The pinned logs, and the nodes to ask. Without --chain-id the chain is that of the first node that answers. A contract and its
 * logs have the same names on all chains, so these nodes can neither confirm nor deny a proof from another chain; the pin is then
 * taken to be on that chain, of which no node is asked. If no node answers, the chain that the proof names is used, so that the
 * verdict can say what is missing.
 */
function placePins(
  proof: Proof,
  { logs, unplaced }: PinSet,
  nodes: readonly ChainNode[],
): { logs: readonly PinnedLog[]; asked: readonly ChainNode[] } {
  if (unplaced === null) return { logs, asked: nodes }
  const first = nodes.find(({ chainId }) => chainId !== null)?.chainId ?? null
  const claims = proof.anchors.filter(
    ({ contract, logId }) => contract === unplaced.contract && logId === unplaced.logId,
  )
  if (first !== null && (claims.length === 0 || claims.some(({ chainId }) => chainId === first)))
    return { logs: [{ ...unplaced, chainId: first }], asked: nodes }
  const chainId = (claims[0] ?? proof.anchors[0])?.chainId ?? ANY_CHAIN
  return { logs: [{ ...unplaced, chainId }], asked: nodes.filter((node) => node.chainId !== chainId) }
}

const COLOURS = { verified: 'green', failed: 'red', undecided: 'yellow' } as const

function report(verdict: VerdictInWords, backing: readonly Backing[], read: UnsealedEvent | null): Text {
  const { checks, event, anchoredAt, times, registrations } = verdict
  return lines([
    ...(event ? [...describe(event, read), ''] : []),
    ...checkLines(checks),
    '',
    outcomeLines(verdict, backing),
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
    ...missingLines(verdict),
  ])
}

/** The outcome, and whose word it rests on. */
export function outcomeLines({ outcome, level }: VerdictInWords, backing: readonly Backing[]): Text {
  const reached = level === 'none' ? '' : text`, as far as ${paint('bold', level)}`
  const whose = outcome !== 'failed' && backing.every(isPinned) ? `: ${pinnersOf(backing)}` : ''
  return lines([
    ...(outcome === 'failed' ? [] : [trustLines(backing), '']),
    text`${paint(['bold', COLOURS[outcome]], outcome.toUpperCase())}${reached}${whose}`,
  ])
}

/** Shows a second key, or a change of a key's period. */
function keyWord({ logIndex, kid, notBefore, notAfter, anchoredAt }: Verdict['registrations'][number]): Text {
  const valid = [notBefore && `from ${notBefore}`, notAfter && `until ${notAfter}`].filter(Boolean).join(' ')
  const since = anchoredAt ? `, anchored since ${anchoredAt}` : ', not anchored'
  return text`  · entry ${logIndex}${since}: key ${kid}${valid && `, valid ${valid}`}`
}

/** On whose word the keys and the contract rest. */
function backingOf({ checks }: Pick<Verdict, 'checks'>, origin: string, pinner: PinSet['by']): Backing[] {
  const statusOf = (id: string) => checks.find((check) => check.id === id)?.status
  const word = { name: origin }
  const by = (status: string | undefined, pinned: Pinner): Backing['by'] =>
    status === 'passed' ? { pinned } : status === 'failed' ? 'fails' : word
  const anchors = checks.flatMap(({ id }) => /^anchor\.\d+(?=\.contract$)/.exec(id) ?? [])
  const held = anchors.filter((anchor) => statusOf(`${anchor}.contract`) === 'passed')
  const pinned = held.some((anchor) => statusOf(`${anchor}.log`) === 'passed')
  return [
    { what: 'the source’s key', by: by(statusOf('source.key'), pinner.sourceKeys) },
    { what: 'the log’s key', by: by(statusOf('log.signature'), pinner.logKeys) },
    { what: 'the contract', by: held.length === 0 ? 'nobody' : pinned ? { pinned: pinner.logs } : word },
  ]
}

/** What a verdict lacks, and how to name a node where that is all that can be done about it. */
export const missingLines = ({ missing, checks }: VerdictInWords): Text[] => [
  ...list('Missing for "verified"', missing),
  ...(missing.length > 0 && checks.some(({ id, reason }) => id.endsWith('.contract') && reason === 'not_asked')
    ? [own('To ask a node of the chain: --rpc <url>, or KILLICK_RPC_URL; killick.json may name one as "rpcs".')]
    : []),
]

const list = (title: string, items: readonly string[]): Text[] =>
  items.length === 0 ? [] : [own(`${title}:`), ...items.map((item) => text`  · ${item}`)]

const OUTCOME_COLOURS: Record<string, 'red' | 'reset'> = { denied: 'red', failure: 'red' }

function describe(event: NonNullable<Verdict['event']>, read: UnsealedEvent | null): Text[] {
  const { outcome, occurredAt, ...others } = event.fields
  const hidden = event.hiddenFields
  // Nobody can tell whether such a field is among those that are not shown.
  const absent = hidden > 0 ? 'not among what is shown' : 'not recorded'
  const rows: [string, Printed][] = [
    ['event', event.id],
    ['recorded', `${event.recordedAt} by the clock of ${event.source}, number ${event.seq} of stream ${event.stream}`],
    ['occurredAt', occurredAt === undefined ? (hidden > 0 ? absent : 'as recorded') : describeField(occurredAt)],
    ['outcome', typeof outcome === 'string' ? paint(['bold', OUTCOME_COLOURS[outcome] ?? 'reset'], outcome) : absent],
    ...Object.entries(others).map(([name, value]): [string, string] => [
      name,
      // Of a field that was read its value, which is not among those of the event.
      read?.sealed[name]?.state === 'open'
        ? describeField(read.fields[name])
        : (sealedWords(name, value, read?.sealed) ?? describeField(value)),
    ]),
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
          ...event.erasures.map(({ count: n, at, order, policy }) =>
            policy
              ? `${count(n, 'field')} of these expired at ${at}, by policy ${policy.id}, version ${policy.version}`
              : `${count(n, 'field')} of these ${n === 1 ? 'was' : 'were'} erased at ${at}${order === null ? '' : `, by order ${order}`}`,
          ),
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
  // Not between the halves of a surrogate pair.
  const end = /[\ud800-\udbff]/.test(value[MAX_SHOWN - 1]!) ? MAX_SHOWN - 1 : MAX_SHOWN
  return `${value.slice(0, end)} … (${(value.length - end).toLocaleString('en')} more characters; --json shows them)`
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
