/**
 * Checks pruning: what a log says that it publishes no more is no more than the policy in the log lets go, by the anchors. The audit itself
 * reads all of it, with its token.
 */
import { KillickError } from '../core/errors.ts'
import type { Anchor } from '../core/proof.ts'
import { parsePruning } from '../core/pruning.ts'
import { SYSTEM } from '../core/registry.ts'
import type { PruningClaim } from './answers.ts'
import type { Fault } from './findings.ts'
import type { OwnCheck } from './own-check.ts'
import { systemEvent } from './records.ts'
import { olderThan, PATIENCE_DAYS } from './retention-claims.ts'

const PATH = '/v1/log'

/** @param anchors of the log, read after the claim was first; of these, `asked` count as clocks */
export function checkPruning(
  claim: PruningClaim | null,
  anchors: { readonly all: readonly Anchor[]; readonly asked: readonly Anchor[] },
): OwnCheck {
  const policies: { readonly logIndex: number; readonly afterDays: number | null }[] = []

  /** Why the claim cannot be so; null: it can. */
  function judge({ afterDays, logIndex, minimumIndex }: PruningClaim): ['untold' | 'different', string] | null {
    const policy = policies.find((one) => one.logIndex === logIndex)
    if (policy === undefined) return ['untold', 'the log says nothing of the kind at that entry']
    if (policy.afterDays !== afterDays) return ['different', 'the log says another number of days']
    const newest = anchors.asked.reduce<Anchor | null>(
      (last, each) => (each.size > (last?.size ?? 0) ? each : last),
      null,
    )
    const settled = newest === null ? 0 : olderThan(newest, PATIENCE_DAYS, anchors.all)
    if (policies.some((later) => later.logIndex > logIndex && later.logIndex < settled))
      return ['different', 'the log says something later, which has counted for long']
    const most =
      afterDays === null ? 0 : Math.max(0, ...anchors.asked.map((clock) => olderThan(clock, afterDays, anchors.all)))
    return minimumIndex > most
      ? [
          'different',
          `entries up to ${minimumIndex.toLocaleString('en')} are not published, and by the anchors only ${most.toLocaleString('en')} are so old`,
        ]
      : null
  }

  return {
    id: 'pruning',
    title: 'The log is published from no later entry on than its policy lets it, by the anchors',
    resumes: { again: true },
    async entry(walked) {
      const event = systemEvent(walked)
      if (event === null) return []
      try {
        const said = parsePruning(event)
        if (said !== null) policies.push({ logIndex: walked.logIndex, afterDays: said.afterDays })
        return []
      } catch (error) {
        if (!(error instanceof KillickError)) throw error
        const place = { logIndex: walked.logIndex, ...SYSTEM, seq: event.seq }
        return [{ place, reason: 'unreadable', message: error.message }]
      }
    },
    async finish() {
      const wrong = claim && judge(claim)
      const place =
        claim && policies.some(({ logIndex }) => logIndex === claim.logIndex)
          ? { logIndex: claim.logIndex, ...SYSTEM }
          : null
      const faults: Fault[] = wrong ? [{ place, reason: wrong[0], message: `${PATH}, pruning: ${wrong[1]}` }] : []
      const from = claim?.minimumIndex ?? 0
      return {
        faults,
        detail: from === 0 ? 'all is published' : `published from entry ${from.toLocaleString('en')} on`,
      }
    },
  }
}
