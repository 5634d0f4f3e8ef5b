// How far each step is proven: on the service's word, or by its proof.

import { parseAnchorRow, readPages } from '../../audit/answers.ts'
import type { Api } from '../../audit/api.ts'
import { KillickError } from '../../core/errors.ts'
import { parseEvent } from '../../core/event.ts'
import { printHash } from '../../core/hash.ts'
import { MAX_PROOF_BYTES, parseProof } from '../../core/proof.ts'
import { type ChainNode, openNodes } from '../../verify/rpc.ts'
import type { Verdict } from '../../verify/verdict.ts'
import { inWords } from '../../words/index.ts'
import type { PinSet } from '../pins.ts'
import type { Backing } from '../trust-words.ts'
import { judgeBy } from '../verify.ts'
import { type Judge, remembering } from '../verify-lines.ts'
import type { Readable, SessionRow } from './rows.ts'

/** What is known of a step's proof. `level` is that of a verdict, or on the service's word `logged` or `anchored`. */
export type StepProof = {
  /** Null: on the service's word. */
  readonly outcome: Verdict['outcome'] | null
  readonly level: Verdict['level']
  /** Why it failed, or what is missing, in words. */
  readonly why: readonly string[]
  readonly backing: readonly Backing[] | null
}

/** Says of each step how it stands. */
export type ProveStep = (row: Readable) => Promise<StepProof>

/** By the anchors that the service lists: one question for all steps. */
export async function provenByWord(api: Api): Promise<ProveStep> {
  const size = await anchoredSize(api)
  return async ({ logIndex }) => ({
    ...{ outcome: null, level: logIndex < size ? 'anchored' : 'logged', why: [], backing: null },
  })
}

/** How many entries of the log the largest anchor covers that counts, by the service's word. */
async function anchoredSize(api: Api): Promise<number> {
  for await (const { rows } of readPages(api, '/v1/anchors', 'anchors', () => 100, parseAnchorRow)) {
    const counted = rows.filter(({ state }) => state === 'confirmed' || state === 'final')
    if (counted.length > 0) return Math.max(...counted.map(({ size }) => size))
  }
  return 0
}

/** By the proof of each step, judged by what the caller pinned. */
export async function provenByProof(api: Api, pins: PinSet): Promise<ProveStep> {
  const nodes = (await openNodes(pins.rpcs)).map(remembering)
  const judge = judgeBy(pins, pins.confirmations)
  return (row) => prove(api, row, judge, nodes)
}

async function prove(api: Api, { event }: Readable, judge: Judge, nodes: readonly ChainNode[]): Promise<StepProof> {
  const failed = (why: string): StepProof => ({ outcome: 'failed', level: 'none', why: [why], backing: null })
  try {
    const proof = parseProof(await api.bytes(`/v1/proofs/${printHash(event.leafHash)}`, MAX_PROOF_BYTES))
    // The proof may show fewer fields than the search, or others; what is told of a step is what was proven.
    if (proof.event !== event.token)
      return failed(
        printHash(parseEvent(proof.event).leafHash) === printHash(event.leafHash)
          ? 'its proof shows other fields than the search'
          : 'its proof is of another event',
      )
    const { verdict, backing } = await judge(proof, nodes)
    const { checks, missing } = inWords(verdict)
    const failures = checks
      .filter(({ status }) => status === 'failed')
      .map(({ title, detail }) => `${title}: ${detail}`)
    const { outcome, level } = verdict
    return { outcome, level, why: [...failures, ...missing], backing: outcome === 'failed' ? null : backing }
  } catch (error) {
    if (!(error instanceof KillickError) || error.code === 'unreachable') throw error
    return failed(error.message)
  }
}

/** Proofs that are fetched ahead of the step that is played. */
const AHEAD = 8

/** Rows with how they stand, in their order; a few are asked for at a time. What was altered has no proof. */
export async function* withProofs(
  rows: AsyncIterable<SessionRow>,
  prove: ProveStep,
): AsyncGenerator<{ row: SessionRow; proof: StepProof }> {
  const ahead: { row: SessionRow; proof: Promise<StepProof> }[] = []
  for await (const row of rows) {
    const proof = row.event === null ? Promise.resolve(ALTERED) : prove(row)
    // It is awaited in its turn, unless the replay has ended by then.
    proof.catch(() => {})
    ahead.push({ row, proof })
    if (ahead.length < AHEAD) continue
    const { row: first, proof: known } = ahead.shift()!
    yield { row: first, proof: await known }
  }
  for (const { row, proof } of ahead) yield { row, proof: await proof }
}

const ALTERED: StepProof = { outcome: 'failed', level: 'none', why: [], backing: null }
