/**
 * Checks what two people decided: what one confirmed, another had proposed before, in the same words, and no later than the proposal allows.
 * What nobody confirmed, or somebody refused, was not carried out under its name.
 */
import { isDeepStrictEqual } from 'node:util'
import { KillickError } from '../core/errors.ts'
import type { ParsedEvent } from '../core/event.ts'
import { isObject, type JsonValue } from '../core/json.ts'
import { type DecidedBy, type Proposal, parseDecidedBy, parseProposal, parseRefusal } from '../core/proposal.ts'
import { SYSTEM } from '../core/registry.ts'
import type { Fault } from './findings.ts'
import type { OwnCheck } from './own-check.ts'
import { systemEvent } from './records.ts'

type Known = Proposal & { readonly time: number; state: 'open' | 'confirmed' | 'refused' }

export function checkProposals(): OwnCheck {
  const proposals = new Map<string, Known>()
  let [confirmed, alone] = [0, 0]

  /** Why an event that says that two people decided it does not show that; null: it does. */
  function judge({ proposal: id, orderedBy, confirmedBy }: DecidedBy, { fields, time }: ParsedEvent): string | null {
    const proposal = proposals.get(id)
    if (proposal === undefined) return 'the log proposes no such thing before it'
    if (proposal.state !== 'open') return `the proposal was ${proposal.state} before`
    if (orderedBy === confirmedBy) return 'the two are one person'
    if (orderedBy !== proposal.by) return 'somebody else had proposed it'
    if (time > proposal.expires) return 'it was confirmed too late'
    const { confirmed: _, ...metadata } = isObject(fields.metadata) ? fields.metadata : {}
    const { action, targets } = fields
    return isDeepStrictEqual(plain({ action, targets, metadata }), plain(proposal.proposes))
      ? null
      : 'it is not what was proposed'
  }

  /** Takes what an event says of proposals. @returns why it cannot be so */
  function take(event: ParsedEvent): string | null {
    const proposal = parseProposal(event)
    if (proposal !== null) {
      if (proposals.has(proposal.id)) return 'it proposes something under the name of another proposal'
      proposals.set(proposal.id, { ...proposal, time: event.time, state: 'open' })
      return null
    }
    const refusal = parseRefusal(event)
    if (refusal !== null) {
      const refused = proposals.get(refusal.id)
      if (refused?.state !== 'open') return 'it refuses a proposal that does not wait'
      refused.state = 'refused'
      return null
    }
    const { action, targets, metadata } = event.fields
    if (action !== 'erasure.order' && action !== 'retention.set' && action !== 'retention.end') return null
    const said = isObject(metadata) ? metadata : {}
    if (said.confirmed === undefined) {
      // What expires, two people have decided by the policy.
      if (said.policy === undefined) alone += 1
      return action === 'erasure.order' && isProposed(targets) ? 'it was proposed, and nobody confirmed it' : null
    }
    const two = parseDecidedBy(said.confirmed)
    const wrong = two === null ? 'it names nobody' : judge(two, event)
    if (wrong !== null) return wrong
    proposals.get(two!.proposal)!.state = 'confirmed'
    confirmed += 1
    return null
  }

  const isProposed = (targets: JsonValue | undefined) =>
    Array.isArray(targets) && targets.some((one) => isObject(one) && proposals.has(String(one.id)))

  return {
    id: 'proposals',
    title: 'What a second person confirmed was proposed by another before, in these words, and confirmed in time',
    resumes: { again: true },
    async entry(walked) {
      const event = systemEvent(walked)
      if (event === null) return []
      const place = { logIndex: walked.logIndex, ...SYSTEM, seq: event.seq }
      try {
        const wrong = take(event)
        const message = `Two people, log entry ${walked.logIndex}: ${wrong}`
        const faults: Fault[] = wrong === null ? [] : [{ place, reason: 'confirmation_invalid', message }]
        return faults
      } catch (error) {
        if (!(error instanceof KillickError)) throw error
        return [{ place, reason: 'unreadable', message: error.message }]
      }
    },
    async finish() {
      const counts = `${confirmed.toLocaleString('en')} confirmed, of ${proposals.size.toLocaleString('en')} proposed`
      return { faults: [], detail: `${counts}; ${alone.toLocaleString('en')} ordered by one person` }
    },
  }
}

/** Without what makes two objects with the same members differ. */
const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value))
