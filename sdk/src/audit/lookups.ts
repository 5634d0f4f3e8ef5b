// Looks events up in every way in which readers do, since nobody signs the columns that a search uses.
import { KillickError } from '../core/errors.ts'
import { type ParsedEvent, parseEvent } from '../core/event.ts'
import { printHash } from '../core/hash.ts'
import { isObject, type JsonObject, type JsonValue, parseJson } from '../core/json.ts'
import { parseProof } from '../core/proof.ts'
import { printTime } from '../core/time.ts'
import { nodePrimitives } from '../node/primitives.ts'
import { verifyProof } from '../node/verify-proof.ts'
import { readAnchors } from '../verify/read-anchors.ts'
import { checkInWords } from '../words/words.ts'
import { readPages } from './answers.ts'
import type { Api } from './api.ts'
import { isFaulty } from './faulty.ts'
import type { Fault } from './findings.ts'
import type { PinnedSourceKey } from './keys.ts'
import type { OwnCheck } from './own-check.ts'
import { isDroppedNow } from './read-again.ts'

/**
 * What a proof is checked against: AuditPins, with or without `urls`. Not the pinned contracts: whether the log is anchored there
 * is one question about the log, which another check of the audit answers.
 */
export type LookupPins = {
  readonly logKeys: readonly string[]
  readonly sourceKeys: readonly PinnedSourceKey[]
  readonly urls: readonly string[]
}

/**
 * The check `lookups`: events are found by their ids, their leaf hashes, their places and in search, and their proofs hold. With
 * pins given, their proofs are verified completely, as strangers would.
 * @param sample one in this many events is looked up, on average; 1: each. The first of the log always is.
 */
export function lookUp(api: Api, sample: number, pins: LookupPins | null = null): OwnCheck {
  let count = 0
  return {
    id: 'lookups',
    title: 'Search, streams and proofs show the events',
    resumes: {
      again: false,
      save: () => [count],
      load(value, isSame) {
        if (isSame) count = Number(value)
      },
    },
    async batch({ logIndex, firstEvent, header, isWhole, event: eventAt }) {
      const faults: Fault[] = []
      for (let i = 0; isWhole && i < header.n; i++) {
        if (firstEvent + i > 0 && Math.random() * sample >= 1) continue
        const event = eventAt(i)!
        const proof = api.text(`/v1/proofs/${printHash(event.leafHash)}`)
        const missed = await missedBy(api, event, proof, `${logIndex}.${i + 1}`)
        // What was erased meanwhile nothing finds any more. Whether it was erased rightly another check of the audit says.
        const erased = missed.some(({ field }) => field !== null) ? await erasedNow(api, event, pins) : NOTHING
        const by = missed.find(({ field }) => field === null || !erased.has(field))?.by ?? null
        const why = by === null && pins !== null ? await refutedBy(await proof, pins) : null
        // What was dropped meanwhile the next audit judges.
        if ((by !== null || why !== null) && (await isDroppedNow(api, logIndex, header))) break
        count++
        const { id, source, stream, seq } = event
        const name = `${id} (${source}/${stream} ${seq})`
        const place = { logIndex, source, stream, seq, id }
        if (by !== null) faults.push({ place, reason: 'not_found', message: `Event ${name} is not found by its ${by}` })
        if (why !== null)
          faults.push({ place, reason: 'proof_failed', message: `The proof of event ${name} fails: ${why}` })
      }
      return faults
    },
    async finish() {
      return {
        faults: [],
        detail: `${count.toLocaleString('en')} looked up, ${sample === 1 ? 'each' : `1 in ${sample}`}`,
      }
    },
  }
}

/** A way in which an event is not found, and the field of it that this goes by, if any. */
type Missed = { readonly by: string; readonly field: string | null }

const NOTHING: ReadonlySet<string> = new Set()

/**
 * In which ways the event is not found.
 * @param proof what the service answers to who asks for it by its leaf hash
 * @param behind cursor of the place behind it
 */
async function missedBy(api: Api, event: ParsedEvent, proof: Promise<string>, behind: string): Promise<Missed[]> {
  const { id, source, stream, seq, time } = event
  const { action, actor, targets, outcome } = event.fields
  const window = { from: printTime(time), to: printTime(time + 1) }
  const isFound = (terms: object) =>
    isListed(api, `/v1/events?${new URLSearchParams({ ...window, ...terms })}`, event, behind)
  const target = Array.isArray(targets) ? targets[Math.floor(Math.random() * targets.length)] : undefined

  const asked: [by: string, answer: Promise<boolean>, field?: string][] = [
    // Several events may claim one id, and the proof is of the first; so only the id can be expected.
    ['id', readProven(api.text(`/v1/proofs/${id}`)).then((found) => found?.id === id)],
    ['leaf hash', readProven(proof).then((found) => found?.leaf === event.leaf)],
    ['place', isAt(api, `/v1/streams/${source}/${stream}/events?seq=${seq}&span=0`, event)],
    ['time', isFound({})],
    ['source', isFound({ source })],
  ]
  const dot = typeof action === 'string' ? action.indexOf('.') : -1
  if (action !== undefined) asked.push(['action', isFound({ action }), 'action'])
  if (dot >= 0) asked.push(['action', isFound({ action: `${String(action).slice(0, dot)}.*` }), 'action'])
  // A source alone is searched among batches; together with another term, among events.
  if (action !== undefined) asked.push(['source', isFound({ source, action }), 'action'])
  if (outcome !== undefined) asked.push(['outcome', isFound({ outcome: String(outcome) }), 'outcome'])
  asked.push(['stream', isFound({ stream })])
  if (isParty(actor)) asked.push(['actor', isFound({ actor: actor.id }), 'actor'])
  if (isParty(target)) asked.push(['targets', isFound({ target: target.id }), 'targets'])
  // Asked at once, and judged in order.
  const answers = await Promise.allSettled(asked.map(([, answer]) => answer))
  return answers.flatMap((answer, i) => {
    if (answer.status === 'rejected') throw answer.reason
    const [by, , field = null] = asked[i]!
    return answer.value ? [] : [{ by, field }]
  })
}

/** Which fields of an event erasures name, as its proof shows it now. That the log orders these, the proof proves. */
async function erasedNow(api: Api, event: ParsedEvent, pins: LookupPins | null): Promise<ReadonlySet<string>> {
  try {
    const leafHash = printHash(event.leafHash)
    const proof = parseProof(await api.text(`/v1/proofs/${leafHash}`))
    const verdict = verifyProof(proof, { logKeys: pins?.logKeys ?? [] })
    const isFailed = verdict.checks.some(({ id, status }) => id === 'event.erasure' && status === 'failed')
    if (isFailed || verdict.event?.leafHash !== leafHash) return NOTHING
    const named = new Set(proof.erasures?.flatMap(({ entry }) => entry.digests))
    const gone = event.disclosures.filter(({ text }) => named.has(nodePrimitives.digest(text)))
    return new Set(gone.map(({ name }) => name))
  } catch (error) {
    if (!isFaulty(error)) throw error
    return NOTHING
  }
}

/** The first check of the event's proof that fails; null: none does. A skipped check is no fault. */
async function refutedBy(text: string, pins: LookupPins): Promise<string | null> {
  try {
    const proof = parseProof(text)
    const { logKeys, sourceKeys } = pins
    const facts = await readAnchors(proof, pins.urls)
    const { checks } = verifyProof(proof, { logKeys, sourceKeys, facts })
    const failed = checks.find(({ status }) => status === 'failed')
    return failed ? `${failed.id}: ${checkInWords(failed).detail}` : null
  } catch (error) {
    if (!isFaulty(error)) throw error
    return error.message
  }
}

async function readProven(answer: Promise<string>): Promise<ParsedEvent | null> {
  const proof = await unlessRefused(answer.then(parseJson))
  return isObject(proof) && typeof proof.event === 'string' ? readToken(proof.event) : null
}

const isToken = (item: JsonValue, { leaf }: ParsedEvent): boolean =>
  isObject(item) && typeof item.token === 'string' && item.token.startsWith(`${leaf}~`)

/** On a page of its own. */
async function isAt(api: Api, path: string, event: ParsedEvent): Promise<boolean> {
  const page = await unlessRefused(api.json(path))
  return isObject(page) && Array.isArray(page.events) && page.events.some((item) => isToken(item, event))
}

/**
 * A millisecond may have hundreds of events, so the list is opened where the event is the next one; only if it is not there, page after
 * page is read.
 */
async function isListed(api: Api, path: string, event: ParsedEvent, behind: string): Promise<boolean> {
  try {
    if (await isAt(api, `${path}&limit=1&cursor=${behind}`, event)) return true
    for await (const { rows } of readPages(
      api,
      path,
      'events',
      () => 500,
      (item) => isToken(item, event),
    ))
      if (rows.includes(true)) return true
  } catch (error) {
    if (!isFaulty(error)) throw error
  }
  return false
}

/** Null if the service refuses or is at fault itself (500). @throws KillickError unreachable */
async function unlessRefused(answer: Promise<JsonValue>): Promise<JsonValue> {
  try {
    return await answer
  } catch (error) {
    if (error instanceof KillickError && (error.code !== 'unreachable' || error.details.status === 500)) return null
    throw error
  }
}

function readToken(token: string): ParsedEvent | null {
  try {
    return parseEvent(token, nodePrimitives)
  } catch (error) {
    if (error instanceof KillickError) return null
    throw error
  }
}

const isParty = (value: JsonValue | undefined): value is JsonObject & { id: string } =>
  isObject(value) && typeof value.id === 'string'
