// What a service says of its log before an audit reads it.
import { parseCheckpoint } from '../core/checkpoint.ts'
import { KillickError } from '../core/errors.ts'
import { EMPTY_ROOT, type Hash } from '../core/hash.ts'
import { openNote, parseVkey } from '../core/note.ts'
import { verifyNatively } from '../node/signature.ts'
import { type LogDescription, MAX_LOG_BYTES, parseLog } from './answers.ts'
import type { Api } from './api.ts'
import { isFaulty, isUnreadable } from './faulty.ts'
import type { Findings } from './findings.ts'

const MAX_NOTE_BYTES = 1 << 20

/** What the service says about its log; nothing if that cannot be read, which is a finding. */
export async function readLog(
  api: Api,
  findings: Findings,
): Promise<Omit<LogDescription, 'vkey'> & { vkey: string | null }> {
  try {
    return parseLog(await api.json('/v1/log', MAX_LOG_BYTES))
  } catch (error) {
    if (!isUnreadable(error)) throw error
    findings.fail('checkpoint', 'unreadable', `/v1/log cannot be read: ${error.message}`)
    return { vkey: null, logs: [], successions: [], pruning: null }
  }
}

/** How many entries the log has now; 0 if the service's checkpoint cannot be read, which is a finding: it may be readable when it is read again. */
export async function readSize(api: Api, findings: Findings): Promise<number> {
  try {
    return Number(parseCheckpoint(await api.text('/checkpoint', MAX_NOTE_BYTES)).size)
  } catch (error) {
    const { status } = error instanceof KillickError ? error.details : { status: null }
    if (!isFaulty(error) || (status !== undefined && status !== 404 && status !== 500)) throw error
    findings.fail('checkpoint', 'unreadable', error.message)
    return 0
  }
}

/**
 * Its newest checkpoint. If there is none that can be read, which is a finding, it is that of an empty log, and `isReadable` false: then
 * nobody knows which entries to look at.
 */
export async function readCheckpoint(
  api: Api,
  logKeys: readonly string[],
  findings: Findings,
): Promise<{ note: string; origin: string; size: number; root: Hash; isReadable: boolean }> {
  try {
    const note = await api.text('/checkpoint', MAX_NOTE_BYTES)
    const { origin, size, root } = parseCheckpoint(note)
    const read = { note, origin, size: Number(size), root, isReadable: true }
    // The missing key has already been reported.
    if (logKeys.length === 0) return read
    findings.pass('checkpoint', logKeys.join(', '))
    try {
      openNote(note, logKeys, verifyNatively)
    } catch (error) {
      if (!(error instanceof KillickError)) throw error
      findings.fail('checkpoint', 'signature_invalid', error.message)
    }
    return read
  } catch (error) {
    // A service without a readable checkpoint has lost it: a ledger is never empty.
    const { status } = error instanceof KillickError ? error.details : { status: null }
    if (!isFaulty(error) || (status !== undefined && status !== 404 && status !== 500)) throw error
    findings.fail('checkpoint', 'unreadable', error.message)
    const [first] = logKeys
    const name = first === undefined ? '' : parseVkey(first).name
    return { note: '', origin: name, size: 0, root: EMPTY_ROOT, isReadable: false }
  }
}
