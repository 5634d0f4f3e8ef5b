import { type AuditLog, type AuditLogStatus, openAuditLog } from '../client/open.ts'
import { fromUtf8 } from '../core/bytes.ts'
import { KillickError } from '../core/errors.ts'
import type { EventInput } from '../core/fields.ts'
import { parseJson } from '../core/json.ts'
import { type Command, EXIT, integer, MAX_TIMER_S, readArgs, required, UsageError } from './command.ts'
import { readLines } from './input.ts'
import { readLogKey } from './pins.ts'
import { RECORD } from './table/recording.ts'
import { count, err, out, progress, waitInSpool } from './terminal.ts'

// record() calls under way: enough to share syncs, few enough to stop soon after a faulty line.
const IN_FLIGHT = 512
/** An event has at most 256 KiB in base64. Its JSON may be larger through white space and escapes, up to this limit. */
const MAX_LINE_BYTES = 4 << 20

export const record: Command = {
  run: async (args) => {
    const given = readArgs(RECORD, args)
    const { values } = given
    const url = required(RECORD, given, 'url')
    const waitMs = integer(values.wait, 'wait', 0, MAX_TIMER_S) * 1000
    const told = new Set<string>()
    const audit = await openAuditLog({
      url,
      source: required(RECORD, given, 'source'),
      key: required(RECORD, given, 'key'),
      spool: values.spool,
      ...(values['log-key'] !== undefined && { logKey: readLogKey(values['log-key']) }),
      onError: ({ message }, during) => {
        // A line at fault is reported with its number.
        if (during === 'send' && told.size < told.add(message).size)
          err(`killick record: events wait in the spool for ${url}: ${message}`)
      },
    })
    const start = audit.status
    const fault = await recordLines(audit, values.ids).then(
      () => null,
      (error: Error) => error,
    )
    // Whatever ended it: what was recorded before is sent, and told.
    const code = await send(audit, start, waitMs, fault)
    if (fault) throw fault
    return code
  },
}

/** @throws UsageError that names the first faulty line. Lines before it are recorded, lines after it are not. */
async function recordLines(audit: AuditLog, printIds: boolean): Promise<void> {
  let recorded = 0
  let line = 0
  const before = audit.status.accepted
  const shown = progress(
    () => `${count(recorded, 'event')} recorded, ${count(audit.status.accepted - before, 'event')} accepted`,
  )
  const faults: { line: number; error: Error }[] = []
  const ids: Promise<string>[] = []
  const settle = async () => {
    for (const id of await Promise.all(ids.splice(0))) if (printIds && id) out(id)
  }
  for await (const bytes of readLines(process.stdin, MAX_LINE_BYTES)) {
    line += 1
    if (bytes.every((byte) => byte === 0x20 || byte === 0x09)) continue
    const at = line
    const stored = parseLine(bytes).then((event) => audit.record(event))
    ids.push(
      stored.then(
        ({ id }) => {
          recorded += 1
          shown.step()
          return id
        },
        (error: Error) => {
          faults.push({ line: at, error })
          return ''
        },
      ),
    )
    // A fault is seen before the next line is taken: parsing and checking end within this turn.
    await new Promise((resolve) => setImmediate(resolve))
    if (ids.length >= IN_FLIGHT) await settle()
    if (faults.length > 0) break
  }
  await settle()
  shown.done()
  const first = faults.sort((a, b) => a.line - b.line)[0]
  if (!first) return
  if (first.error instanceof KillickError && !isInputFault(first.error)) throw first.error
  throw new UsageError(`Line ${first.line}: ${first.error.message}`)
}

const isInputFault = ({ code }: KillickError): boolean =>
  code === 'field_invalid' || code === 'event_too_large' || code.startsWith('json_')

async function parseLine(bytes: Uint8Array): Promise<EventInput> {
  if (bytes.length > MAX_LINE_BYTES) throw new KillickError('event_too_large')
  const text = fromUtf8(bytes)
  if (text === null) throw new KillickError('json_invalid', 'The line is not UTF-8')
  return parseJson(text) as unknown as EventInput
}

/**
 * Sends what waits, and distinguishes what this run recorded from what an earlier run left in the spool.
 * @param fault what the caller will tell itself
 */
async function send(audit: AuditLog, start: AuditLogStatus, waitMs: number, fault: Error | null): Promise<number> {
  const timeout = new Promise<'timeout'>((resolve) => setTimeout(() => resolve('timeout'), waitMs).unref())
  const told: string[] = []
  let code: number = EXIT.ok
  try {
    const receipts = await Promise.race([audit.flush(), timeout])
    if (receipts === 'timeout') {
      told.push('The service did not accept everything in time')
      code = EXIT.undecided
    } else {
      const last = receipts.at(-1)
      if (last) told.push(`The last batch is entry ${last.logIndex} of a log of ${last.size}`)
    }
  } catch (error) {
    if (!(error instanceof KillickError)) throw error
    if (error.message !== fault?.message) told.push(error.message)
    code = EXIT.failed
  }
  const { pending, lastError } = await audit.close({ timeoutMs: 0 })
  if (code === EXIT.undecided && pending === 0) code = EXIT.ok
  if (code === EXIT.undecided && lastError) told.push(lastError.message)
  for (const line of [tally(start, audit.status), ...told]) err(line)
  return code
}

/** What was recorded and accepted between two states of a stream. Events that waited at first are accepted before later ones. */
function tally(start: AuditLogStatus, end: AuditLogStatus): string {
  const recorded = end.recorded - start.recorded
  const accepted = end.accepted - start.accepted
  const old = Math.min(accepted, start.pending)
  const earlier = old > 0 ? `, and ${count(old, 'event')} that waited from before` : ''
  const left = end.pending > 0 ? `; ${waitInSpool(end.pending)}` : ''
  return `${count(recorded, 'event')} recorded in stream ${end.stream}; the log has accepted ${(accepted - old).toLocaleString('en')} of them${earlier}${left}`
}
