import { MAX_LOG_BYTES, parseLog } from '../audit/answers.ts'
import type { Api } from '../audit/api.ts'
import { type AuditPins, type AuditProgress, type AuditResult, auditLedger, auditOutcome } from '../audit/audit.ts'
import { chainOf } from '../audit/chain.ts'
import { lookUp } from '../audit/lookups.ts'
import type { OwnCheck } from '../audit/own-check.ts'
import { holdReceipts } from '../audit/receipts.ts'
import { splitVkeys } from '../core/note.ts'
import { ACCESS_HELP, ACCESS_OPTIONS, accessOf, openAccess } from './access.ts'
import { type Command, EXIT, readArgs, UsageError } from './command.ts'
import { ANY_CHAIN, PIN_HELP, PIN_OPTIONS, readLogKey, readPinnedLog, readSourceKey } from './pins.ts'
import { type Found, findShown } from './shown.ts'
import { checkLines, count, json, lines, out, own, paint, progress, type Text, text } from './terminal.ts'
import { type Backing, trustLines } from './trust-words.ts'

export const audit: Command = {
  summary: 'check the whole ledger, and every anchor with the chain',
  help: `killick audit: check the whole ledger, and every anchor with the chain

Usage: killick audit [--url <url>] [--token <token>] --rpc <url> [--contract <0x…> --log-id <0x…>] [--log-key <vkey>]

Downloads everything the service stores and computes it all again on this machine: every event's digests, fields and signature,
the chain of every stream, the root and signature of every batch, the log's tree and each stored tile, and every anchor against
the contract, down to whether the contract knows of entries that the log no longer shows. Each key must have been registered in
the log before it was used, and used within its validity; the service must list the sources as the log registers them. Some
events, chosen at random, are looked up in every way that readers can: id, leaf hash, place in the stream, time, source, action,
actor and a target. The service is asked for data only, never for a verdict. Memory use does not grow with the ledger. The first
event at fault is named.

If the log succeeds another one, whose chain key was stolen or lost, it must extend the last honest anchor of that log, and the
contract of that log must hold this anchor. What was anchored there later is reported; nobody can tell from outside whose it is.
If you pin the log that was left, the audit follows it to this one on the publisher's word: pin the new log to make it yours.

${ACCESS_HELP}
${PIN_HELP}
  --sample <n>      look up one event in n, on average (default 1,000); 1: each event
  --receipts <spool>  compare the log with what it gave a recorder: the spool's folder, or a file of receipts; repeatable
  --since <note>    compare it with an older checkpoint: a file with the signed note; repeatable
  --registered-keys accept the keys of sources that are not pinned as the log registers them
  --no-chain        do not ask the chain; a rewritten log may then pass
  --json            print the result as JSON

What is not pinned is taken on the operator's word, and the result says so. That is not a pass, unless one of these two options
says that you left it out on purpose.

Exit codes: 0 everything holds, by what you pinned · 1 something does not · 2 wrong usage, or the service refuses (for
instance, a token is missing) · 3 nothing failed, but not everything was pinned, the service or a node could not be reached, or
the chain was not asked

Example:
  killick audit --url http://127.0.0.1:8787 --rpc https://rpc.example.com --contract 0x5FbD… --log-id 0x9c1e… \\
      --log-key ledger.example.com+1f2e3d4c+AQ… --registered-keys
`.trimEnd(),
  run: async (args) => {
    const { values } = readArgs(args, {
      ...PIN_OPTIONS,
      ...ACCESS_OPTIONS,
      sample: { type: 'string', default: '1000' },
      'registered-keys': { type: 'boolean', default: false },
      'no-chain': { type: 'boolean', default: false },
      receipts: { type: 'string', multiple: true, default: [] as string[] },
      since: { type: 'string', multiple: true, default: [] as string[] },
    })
    const sample = readSample(values.sample)
    const api = openAccess(accessOf(values))
    const isPinned = readPinnedLog(values) !== null
    const log = isPinned ? readPinnedLog(values, (await chainOf(values.rpc)) ?? ANY_CHAIN) : null
    const found = await Promise.all([...values.receipts, ...values.since].map(findShown))
    const pins: AuditPins = {
      logKeys: values['log-key'].map(readLogKey),
      sourceKeys: values['source-key'].map(readSourceKey),
      logs: log ? [log] : [],
      urls: values['no-chain'] ? [] : values.rpc,
    }
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
    const result = await auditLedger(api, pins, { onProgress, own }).finally(shown.done)
    const waived = values['no-chain'] ? ['anchors.chain'] : []
    const backing = backingOf(result, pins, values)
    const checked = auditOutcome(result, waived)
    const isBacked = backing.every(({ by, waived }) => by === 'you' || waived)
    const outcome = checked === 'passed' && !isBacked ? 'undecided' : checked
    if (values.json) out(json({ outcome, ...result }))
    else out(report(result, outcome, checked === 'passed', backing))
    return { passed: EXIT.ok, failed: EXIT.failed, undecided: EXIT.undecided }[outcome]
  },
}

type Waivable = Backing & { waived: boolean }

/** On whose word the keys and the contract rest, and what was left out on purpose. */
function backingOf(
  { origin, unpinned, followed }: AuditResult,
  { logKeys, logs, sourceKeys, urls }: AuditPins,
  options: { 'registered-keys': boolean; 'no-chain': boolean },
): Waivable[] {
  const word = { name: origin }
  const named = [...new Set(sourceKeys.map(({ source }) => source))].filter((source) => source !== undefined)
  const keysOf = (sources: readonly string[]) => `the keys of ${sources.join(', ')}`
  return [
    { what: 'the log’s key', by: splitVkeys(logKeys).supported.length > 0 ? 'you' : word, waived: false },
    {
      what: 'the contract',
      by: urls.length === 0 ? 'nobody' : logs.length > 0 && followed.length === 0 ? 'you' : word,
      waived: options['no-chain'],
    },
    ...(named.length > 0 ? [{ what: keysOf(named), by: 'you', waived: false } as const] : []),
    ...(unpinned.length > 0 ? [{ what: keysOf(unpinned), by: word, waived: options['registered-keys'] }] : []),
  ]
}

/**
 * The check that compares the log with what was found, if anything was. Without a pinned key, notes are opened with the key in
 * the spool, or else the key that the service names; neither makes that key a pin.
 */
async function readReceipts(api: Api, found: readonly Found[], pinned: readonly string[]): Promise<OwnCheck[]> {
  if (found.length === 0) return []
  const shown = found.flatMap((place) => place.shown)
  if (pinned.length > 0) return [holdReceipts(shown, pinned)]
  const spoolKeys = found.flatMap(({ logKey }) => (logKey === null ? [] : [logKey]))
  if (spoolKeys.length > 0) return [holdReceipts(shown, spoolKeys)]
  return [holdReceipts(shown, [parseLog(await api.json('/v1/log', MAX_LOG_BYTES)).vkey])]
}

function readSample(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new UsageError(`--sample must be a whole number from 1, not ${text}`)
  return Number(text)
}

function report(
  { origin, size, events, checks, first }: AuditResult,
  outcome: 'passed' | 'failed' | 'undecided',
  isAllChecked: boolean,
  backing: readonly Backing[],
): Text {
  const at =
    first?.stream === undefined
      ? ''
      : `, event ${first.seq} of ${first.source}/${first.stream}${first.id ? ` (${first.id})` : ''}`
  return lines([
    text`${paint('bold', origin)}: ${size.toLocaleString('en')} entries, ${count(events, 'event')}`,
    ...checkLines(checks),
    '',
    trustLines(backing),
    '',
    outcome === 'failed'
      ? paint(['bold', 'red'], 'FAILED')
      : outcome === 'passed'
        ? paint(['bold', 'green'], 'EVERYTHING HOLDS')
        : isAllChecked
          ? paint(['bold', 'yellow'], text`NOTHING FAILED, BUT IT RESTS ON THE WORD OF ${origin}`)
          : paint(['bold', 'yellow'], own('NOTHING FAILED, BUT NOT EVERYTHING WAS CHECKED')),
    ...(first ? [`First at fault: log entry ${first.logIndex}${at}: ${first.message}`] : []),
  ])
}
