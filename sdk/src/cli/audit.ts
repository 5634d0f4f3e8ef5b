import { openApi } from '../audit/api.ts'
import { type AuditPins, type AuditProgress, type AuditResult, auditLedger, auditOutcome } from '../audit/audit.ts'
import { chainOf } from '../audit/chain.ts'
import { lookUp } from '../audit/lookups.ts'
import { type Command, EXIT, readArgs, required, UsageError } from './command.ts'
import { PIN_HELP, PIN_OPTIONS, readLogKey, readPinnedLog, readSourceKey } from './pins.ts'
import { checkLines, count, out, paint, printable, progress } from './terminal.ts'

export const audit: Command = {
  summary: 'check the whole ledger, and every anchor with the chain',
  help: `killick audit: check the whole ledger, and every anchor with the chain

Usage: killick audit [--url <url>] [--token <token>] --rpc <url> [--contract <0x…> --log-id <0x…>] [--log-key <vkey>]

Downloads everything the service stores and computes it all again on this machine: every event's digests and signature, the
chain of every stream, the root and signature of every batch, the log's tree and each stored tile, and every anchor against
the contract, down to whether the contract knows of entries that the log no longer shows. Some events, taken at
random, are looked up by all that readers find them by: id, leaf hash, place in the stream, time, source, action, actor and a
target. The service is asked for data only, never for a verdict. Memory use does not grow with the ledger. The first event at
fault is named.

  --url <url>       the service; or KILLICK_URL
  --token <token>   a reader token of the service; or KILLICK_TOKEN, which keeps it out of the list of processes
${PIN_HELP}
  --sample <n>      look up one event in n, on average (default 1,000); 1: each event
  --no-chain        leave the chain out, on purpose: then a rewritten log may pass
  --json            print the result as JSON

Without pins, keys and contract are taken on the operator's word, and the result says so.

Exit codes: 0 everything holds · 1 something does not · 2 wrong usage, or the service refuses (a missing token, say) ·
3 nothing failed, but the service or a node could not be reached, or the chain was not asked

Example:
  killick audit --url http://127.0.0.1:8787 --rpc https://rpc.example.com --contract 0x5FbD… --log-id 0x9c1e… \\
      --log-key ledger.example.com+1f2e3d4c+AQ…
`.trimEnd(),
  run: async (args) => {
    const { values } = readArgs(args, {
      ...PIN_OPTIONS,
      url: { type: 'string' },
      token: { type: 'string' },
      sample: { type: 'string', default: '1000' },
      'no-chain': { type: 'boolean', default: false },
    })
    const sample = readSample(values.sample)
    const api = openApi(required(values.url, 'url', 'KILLICK_URL'), values.token ?? process.env.KILLICK_TOKEN)
    const log = readPinnedLog(values, values.contract === undefined ? 0 : ((await chainOf(values.rpc)) ?? 0))
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
    const own = [lookUp(api, sample)]
    const result = await auditLedger(api, pins, { onProgress, own }).finally(shown.done)
    if (values['no-chain']) result.restsOn.push('the log as it stands: whether the chain agrees was not asked')
    out(values.json ? JSON.stringify(result, null, 2) : report(result))
    const outcome = auditOutcome(result, values['no-chain'] ? ['anchors.chain'] : [])
    return { passed: EXIT.ok, failed: EXIT.failed, undecided: EXIT.undecided }[outcome]
  },
}

function readSample(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new UsageError(`--sample must be a whole number from 1, not ${text}`)
  return Number(text)
}

function report({ origin, size, events, checks, first, restsOn }: AuditResult): string {
  const isFailed = checks.some(({ status }) => status === 'failed')
  const isOpen = checks.some(({ status }) => status === 'skipped')
  const [colour, word] = isFailed
    ? (['red', 'FAILED'] as const)
    : isOpen
      ? (['yellow', 'NOTHING FAILED, BUT NOT EVERYTHING WAS CHECKED'] as const)
      : (['green', 'EVERYTHING HOLDS'] as const)
  const at =
    first?.stream === undefined
      ? ''
      : `, event ${first.seq} of ${first.source}/${first.stream}${first.id ? ` (${first.id})` : ''}`
  return [
    `${paint('bold', printable(origin))}: ${size.toLocaleString('en')} entries, ${count(events, 'event')}`,
    ...checkLines(checks),
    '',
    paint(['bold', colour], word),
    ...(first ? [`First at fault: log entry ${first.logIndex}${at}: ${printable(first.message)}`] : []),
    ...(restsOn.length > 0 ? ['Rests on:', ...restsOn.map((item) => `  · ${printable(item)}`)] : []),
  ].join('\n')
}
