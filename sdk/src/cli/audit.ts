import { MAX_LOG_BYTES, parseLog } from '../audit/answers.ts'
import type { Api } from '../audit/api.ts'
import { type AuditPins, type AuditProgress, type AuditResult, auditLedger, auditOutcome } from '../audit/audit.ts'
import { chainOf } from '../audit/chain.ts'
import { lookUp } from '../audit/lookups.ts'
import type { OwnCheck } from '../audit/own-check.ts'
import { holdReceipts } from '../audit/receipts.ts'
import { splitVkeys } from '../core/note.ts'
import { reading } from '../core/problem.ts'
import type { PinnedKey } from '../verify/trust.ts'
import { auditInWords } from '../words/audit.ts'
import { accessOf, openAccess } from './access.ts'
import { type Command, EXIT, readArgs, UsageError } from './command.ts'
import { ANY_CHAIN, type PinSet, readPins } from './pins.ts'
import { type Found, findShown } from './shown.ts'
import { AUDIT } from './table/checking.ts'
import { checkLines, count, json, lines, out, own, paint, progress, type Text, text } from './terminal.ts'
import { type Backing, isPinned, trustLines } from './trust-words.ts'

export const audit: Command = {
  run: async (args) => {
    const given = readArgs(AUDIT, args)
    const { values } = given
    const sample = readSample(values.sample)
    if (values.new && values.keep === undefined)
      throw new UsageError('--new needs --keep: the folder in which the last audit has kept how far it came')
    const api = openAccess(accessOf(AUDIT, given))
    const { logKeys, sourceKeys, logs, unplaced, rpcs, by } = readPins(given)
    const placed = unplaced ? [{ ...unplaced, chainId: (await chainOf(rpcs)) ?? ANY_CHAIN }] : logs
    const found = await Promise.all([...values.receipts, ...values.since].map(findShown))
    const pins: AuditPins = {
      ...{ logKeys, sourceKeys: sourceKeys.map(named), logs: placed },
      urls: values['no-chain'] ? [] : rpcs,
    }
    const startedAt = Date.now()
    let seen: AuditProgress = { batches: 0, size: 0, events: 0 }
    const shown = progress(
      () =>
        `${count(seen.batches, 'batch').replace(/hs$/, 'hes')} of ${seen.size}, ${count(seen.events, 'event')} checked`,
    )
    const onProgress = (now: AuditProgress) => {
      seen = now
      shown.step()
    }
    const own = [lookUp(api, sample, pins), ...(await readReceipts(api, found, pins.logKeys))]
    const result = await auditLedger(api, pins, { onProgress, own, folder: values.keep, onlyNew: values.new }).finally(
      shown.done,
    )
    const waived = values['no-chain'] ? ['anchors.chain'] : []
    const backing = backingOf(result, pins, by, values)
    const checked = auditOutcome(result, waived)
    const isBacked = backing.every((each) => isPinned(each) || each.waived)
    const outcome = checked === 'passed' && !isBacked ? 'undecided' : checked
    if (values.json) out(json({ outcome, ...auditInWords(result) }))
    else out(report(result, outcome, checked === 'passed', backing, startedAt))
    return { passed: EXIT.ok, failed: EXIT.failed, undecided: EXIT.undecided }[outcome]
  },
}

type Waivable = Backing & { waived: boolean }

/** On whose word the keys and the contract rest, and what was left out on purpose. */
function backingOf(
  { origin, unpinned, followed }: AuditResult,
  { logKeys, logs, sourceKeys, urls }: AuditPins,
  by: PinSet['by'],
  options: { 'registered-keys': boolean; 'no-chain': boolean },
): Waivable[] {
  const word = { name: origin }
  const { supported, unsupported } = splitVkeys(logKeys)
  const named = [...new Set(sourceKeys.map(({ source }) => source))].filter((source) => source !== undefined)
  const keysOf = (sources: readonly string[]) => `the keys of ${sources.join(', ')}`
  return [
    {
      what: 'the log’s key',
      by: supported.length > 0 ? { pinned: by.logKeys } : word,
      waived: false,
    },
    {
      what: 'the contract',
      by: urls.length === 0 ? 'nobody' : logs.length > 0 && followed.length === 0 ? { pinned: by.logs } : word,
      waived: options['no-chain'],
    },
    ...(named.length > 0 ? [{ what: keysOf(named), by: { pinned: by.sourceKeys }, waived: false }] : []),
    ...(unpinned.length > 0 ? [{ what: keysOf(unpinned), by: word, waived: options['registered-keys'] }] : []),
    // A key of a type that is not read pins nothing, but leaves nothing open that another pinned key answers.
    ...unsupported.map((name) => ({ what: `the key of ${name}`, by: 'nobody' as const, waived: true })),
  ]
}

/**
 * The check that compares the log with what was found, if anything was. Without a pinned key, notes are opened with the key in
 * the spool, or else the key that the service names; neither makes that key a pin.
 */
async function readReceipts(api: Api, found: readonly Found[], pinned: readonly string[]): Promise<OwnCheck[]> {
  if (found.length === 0) return []
  const shown = found.flatMap((place) => place.shown)
  const held = (keys: readonly string[]): OwnCheck[] => {
    // Each by itself before, so that a refusal names the file.
    for (const one of found) reading(one.place, () => holdReceipts(one.shown, keys))
    return [holdReceipts(shown, keys)]
  }
  if (pinned.length > 0) return held(pinned)
  const spoolKeys = found.flatMap(({ logKey }) => (logKey === null ? [] : [logKey]))
  if (spoolKeys.length > 0) return held(spoolKeys)
  return held([parseLog(await api.json('/v1/log', MAX_LOG_BYTES)).vkey])
}

/** A ledger has many sources; a key that is pinned for none of them would pin nothing. @throws UsageError */
function named({ source, ...key }: PinnedKey) {
  if (source === undefined) throw new UsageError('A pinned source key does not say whose it is: give it a source')
  return { source, ...key }
}

function readSample(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new UsageError(`--sample must be a whole number from 1, not ${text}`)
  return Number(text)
}

const RESTARTED: { readonly [why in NonNullable<AuditResult['restarted']>]: string } = {
  pins: 'what was kept of an earlier audit was held against other pins',
  checks: 'what was kept of an earlier audit was made with other checks',
  anchors: 'an anchor that an earlier audit relied on is not listed any more',
}

function report(
  { origin, size, events, dropped, checks, first, begun, earlier, restarted }: AuditResult,
  outcome: 'passed' | 'failed' | 'undecided',
  isAllChecked: boolean,
  backing: readonly Backing[],
  startedAt: number,
): Text {
  const at =
    first?.stream === undefined
      ? ''
      : `, event ${first.seq} of ${first.source}/${first.stream}${first.id ? ` (${first.id})` : ''}`
  return lines([
    text`${paint('bold', origin)}: ${size.toLocaleString('en')} entries, ${earlier === null ? '' : own(`the last ${Math.max(0, size - earlier.size).toLocaleString('en')} with `)}${count(events, 'event')}${dropped === 0 ? '' : own(`, beside ${count(dropped, 'event')} that were dropped`)}`,
    ...(restarted === null ? [] : [`Begun at the first entry: ${RESTARTED[restarted]}`]),
    ...(Date.parse(begun) < startedAt ? [`Begun ${begun}, and interrupted`] : []),
    ...checkLines(checks),
    '',
    trustLines(backing),
    '',
    outcome === 'failed'
      ? paint(['bold', 'red'], 'FAILED')
      : outcome === 'passed'
        ? paint(['bold', 'green'], earlier === null ? 'EVERYTHING HOLDS' : 'EVERYTHING NEW HOLDS')
        : isAllChecked
          ? paint(['bold', 'yellow'], text`NOTHING FAILED, BUT IT RESTS ON THE WORD OF ${origin}`)
          : paint(['bold', 'yellow'], own('NOTHING FAILED, BUT NOT EVERYTHING WAS CHECKED')),
    ...(first ? [`First at fault: log entry ${first.logIndex}${at}: ${first.message}`] : []),
  ])
}
