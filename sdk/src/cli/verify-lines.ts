// Checks an export: each line by itself. In memory are one line, and the hashes of so many events as are compared.
import { isDeepStrictEqual } from 'node:util'
import { KillickError } from '../core/errors.ts'
import { isObject, type JsonObject } from '../core/json.ts'
import { type Proof, parseProof } from '../core/proof.ts'
import type { ChainNode } from '../verify/rpc.ts'
import type { Verdict } from '../verify/verdict.ts'
import { inWords } from '../words/words.ts'
import { EXIT } from './command.ts'
import type { ExportedLine } from './proof-input.ts'
import { count, err, jsonLine, lines as linesOf, out, padded, paint, type Text, text } from './terminal.ts'
import { type Backing, trustLines } from './trust-words.ts'

/** How a proof is judged, and what the verdict rests on. */
export type Judge = (proof: Proof, nodes: readonly ChainNode[]) => Promise<{ verdict: Verdict; backing: Backing[] }>

type Outcome = Verdict['outcome'] | 'unreadable'
type Told = {
  readonly line: number
  readonly outcome: Outcome
  readonly level?: Verdict['level']
  readonly id?: string
  readonly action?: string
  /** Reasons, in words. */
  readonly why: readonly string[]
}

/** Members of an exported line that the proof says too, and that must agree with it. */
const SAID_TWICE = ['id', 'leafHash', 'source', 'stream', 'seq', 'recordedAt', 'logIndex', 'fields'] as const
/** Members that stand beside the event, and say nothing about it that anybody could rely on. */
const BESIDE = new Set<string>([
  ...[...SAID_TWICE, 'missing', 'erased', 'expired', 'number', 'error', 'token', 'proof'],
])

/** Different grounds that verdicts of one export rest on, at most; a ledger has few. */
const MAX_GROUNDS = 8
/** Events that later lines are compared with, at most: a set takes a hundred bytes for each, and throws at its 16,777,217th. */
const MAX_SEEN = 4_000_000

/**
 * @param maxSeen events whose repeats are told; that there were more is told too
 * @returns the exit code: the worst of all lines
 */
export async function verifyLines(
  input: AsyncIterable<ExportedLine>,
  nodes: readonly ChainNode[],
  judge: Judge,
  asJson: boolean,
  maxSeen = MAX_SEEN,
): Promise<number> {
  const asked = nodes.map(remembering)
  const tally: Record<Outcome, number> = { verified: 0, undecided: 0, failed: 0, unreadable: 0 }
  const grounds = new Map<string, { backing: Backing[]; events: number }>()
  const unchecked = new Set<string>()
  const seen = new Set<string>()
  let repeated = 0
  let unseen = 0
  function repeats(leafHash: string): boolean {
    const isAgain = seen.has(leafHash)
    if (isAgain) repeated += 1
    else if (seen.size < maxSeen) seen.add(leafHash)
    else unseen += 1
    return isAgain
  }
  for await (const line of input) {
    const { told, backing } = await judgeLine(line, asked, judge, unchecked, repeats)
    tally[told.outcome] += 1
    if (backing) {
      const key = JSON.stringify(backing)
      const ground = grounds.get(key)
      if (ground) ground.events += 1
      else if (grounds.size < MAX_GROUNDS) grounds.set(key, { backing, events: 1 })
    }
    out(asJson ? jsonLine(told) : report(told))
  }
  const total = Object.values(tally).reduce((sum, n) => sum + n, 0)
  const beyond = unseen > 0 && { notCompared: unseen }
  if (asJson) out(jsonLine({ events: total, ...tally, repeated, ...beyond, uncheckedMembers: [...unchecked] }))
  else {
    const each = [...grounds.values()].flatMap(({ backing, events }) => [
      ...(grounds.size > 1 ? [text`${count(events, 'event')}:`] : []),
      trustLines(backing),
    ])
    const sums = (Object.keys(tally) as Outcome[]).filter((outcome) => tally[outcome] > 0)
    const words = sums.map((outcome) => `${tally[outcome].toLocaleString('en')} ${outcome}`).join(', ')
    const sum = text`${count(total, 'event')}: ${paint(['bold', colourOf(tally)], words)}`
    // What was done once must not count as done twice.
    const again = `${count(repeated, 'line')} of these ${repeated === 1 ? 'repeats' : 'repeat'} the event of a line before`
    out(linesOf(['', ...each, '', sum, ...(repeated > 0 ? [paint('yellow', again)] : [])]))
  }
  if (beyond)
    err(
      `Lines that repeat an event were found for the first ${count(maxSeen, 'event')} alone; whether ${count(unseen, 'line')} behind these repeat each other is not known`,
    )
  if (unchecked.size > 0) err(`No proof covers what the lines say in: ${[...unchecked].join(', ')}`)
  if (tally.failed > 0) return EXIT.failed
  if (tally.unreadable > 0 || total === 0) return EXIT.usage
  return tally.undecided > 0 ? EXIT.undecided : EXIT.ok
}

async function judgeLine(
  line: ExportedLine,
  nodes: readonly ChainNode[],
  judge: Judge,
  unchecked: Set<string>,
  repeats: (leafHash: string) => boolean,
): Promise<{ told: Told; backing?: Backing[] }> {
  const { number, value } = line
  if (value === null) return { told: { line: number, outcome: 'unreadable', why: [line.fault] } }
  const isBare = value.format === 'killick-proof/1'
  const shown = isBare ? {} : { ...(typeof value.id === 'string' && { id: value.id }) }
  if (!isBare) for (const name of Object.keys(value)) if (!BESIDE.has(name) && unchecked.size < 32) unchecked.add(name)
  const document = isBare ? value : value.proof
  if (document === null || document === undefined) {
    const why = isObject(value.error) ? unproven(String(value.error.code)) : 'it has no proof'
    return { told: { line: number, outcome: 'undecided', ...shown, why: [why] } }
  }
  let proof: Proof
  try {
    proof = parseProof(JSON.stringify(document))
  } catch (error) {
    if (!(error instanceof KillickError)) throw error
    return { told: { line: number, outcome: 'unreadable', ...shown, why: [error.message] } }
  }
  const { verdict, backing } = await judge(proof, nodes)
  const { event } = verdict
  const differs = isBare || event === null ? [] : differences(value, { ...event, logIndex: proof.log.index })
  const isAgain = event !== null && repeats(event.leafHash)
  const { checks, missing } = inWords(verdict)
  const failed = checks.filter(({ status }) => status === 'failed').map(({ title, detail }) => `${title}: ${detail}`)
  const action = event?.fields.action
  const told = {
    ...{ line: number, outcome: differs.length > 0 ? ('failed' as const) : verdict.outcome, level: verdict.level },
    ...(event ? { id: event.id } : shown),
    ...(typeof action === 'string' && { action }),
    why: [
      ...differs.map((name) => `the line says another ${name} than its proof`),
      ...(isAgain ? ['a line before has this event too'] : []),
      ...failed,
      ...missing,
    ],
  }
  return { told, ...(told.outcome !== 'failed' && { backing }) }
}

/** Why the ledger gave no proof of an event, which nobody has signed. */
const unproven = (code: string): string =>
  code === 'event_dropped'
    ? 'the ledger says that a retention policy has dropped it'
    : `the ledger gave no proof: ${code}`

/** Members of the line that say something else than its proof. */
const differences = (
  line: JsonObject,
  event: { readonly [Member in (typeof SAID_TWICE)[number]]: unknown },
): string[] => SAID_TWICE.filter((name) => line[name] !== undefined && !isSame(line[name], event[name]))

/** Whether both are the same JSON. A recorder may have written -0, which whoever prints the line prints as 0. */
const isSame = (a: unknown, b: unknown): boolean =>
  isDeepStrictEqual(a, b) || isDeepStrictEqual(JSON.parse(JSON.stringify(a)), JSON.parse(JSON.stringify(b)))

/** A node that is asked once for each thing: events share their anchors. Within one run its answers, and its silence, stand. */
export function remembering(node: ChainNode): ChainNode {
  const answers = new Map<string, Promise<unknown>>()
  const { rpc } = node
  const call: typeof rpc.call = (method, params) => {
    const question = JSON.stringify([method, params])
    const known = answers.get(question)
    if (known) return known
    const answer = rpc.call(method, params)
    answer.catch(() => {})
    if (answers.size >= MAX_ANSWERS) answers.delete(answers.keys().next().value!)
    answers.set(question, answer)
    return answer
  }
  return { ...node, rpc: { node: rpc.node, call } }
}

/** An answer may have some megabytes (a block); an anchor takes five. */
const MAX_ANSWERS = 64

const MARKS = {
  verified: ['green', '✓'],
  failed: ['red', '✗'],
  undecided: ['yellow', '–'],
  unreadable: ['red', '?'],
} as const

function report({ line, outcome, level, id, action, why }: Told): Text {
  const [colour, mark] = MARKS[outcome]
  const head = paint(colour, `${mark} ${outcome.padEnd(10)}`)
  const reasons = why.length === 0 ? '' : text`  ${paint('dim', why.join('; '))}`
  return text`${head} ${padded(level ?? '', 8)} ${id ?? `line ${line}`}  ${action ?? ''}${reasons}`
}

const colourOf = ({ failed, unreadable, undecided }: Record<Outcome, number>) =>
  failed + unreadable > 0 ? 'red' : undecided > 0 ? 'yellow' : 'green'
