// `killick verify <bundle>`.
import { closeSync, openSync, readSync, statSync } from 'node:fs'
import type { BundleVerdict } from '../../bundle/index.ts'
import { KillickError } from '../../core/errors.ts'
import { readFileInPlace } from '../../node/bundle/file.ts'
import { verifyBundle } from '../../node/bundle/verify-bundle.ts'
import { EXIT } from '../command.ts'
import { inputError, isSystemError } from '../input.ts'
import type { PinSet } from '../pins.ts'
import { count, json, lines, out, progress, type Text, text } from '../terminal.ts'
import { type Backing, isPinned, pinnersOf, trustLines } from '../trust-words.ts'
import { bundleTrust } from './trust.ts'
import {
  completenessLines,
  faultLines,
  fieldLines,
  genuineLines,
  isOnlyDropped,
  scopeWords,
  silenceLines,
} from './words.ts'

const FIRST_NAME = Buffer.from('manifest.json\0')

/** Whether bytes begin as bundles do. */
export const isBundle = (bytes: Uint8Array): boolean => FIRST_NAME.equals(bytes.subarray(0, FIRST_NAME.length))

/** Whether a file begins as bundles do. */
export function isBundleFile(place: string): boolean {
  try {
    // What is read from a pipe here is gone for whoever reads it next.
    if (!statSync(place).isFile()) return false
    const handle = openSync(place, 'r')
    try {
      const head = Buffer.alloc(FIRST_NAME.length)
      return readSync(handle, head) === head.length && head.equals(FIRST_NAME)
    } finally {
      closeSync(handle)
    }
  } catch {
    // It is a URL, or stdin, or whoever opens it says what is wrong.
    return false
  }
}

/** Why a bundle could not be read: a refusal keeps its code and its words, and the system's reason is told in ours. */
export function unreadBundle(error: unknown, file: string): unknown {
  if (error instanceof KillickError) return new KillickError(error.code, `${file}: ${error.message}`, error.details)
  return isSystemError(error) ? inputError(error, file) : error
}

/** @returns the exit code */
export async function verifyBundleFile(file: string, pins: PinSet, asJson: boolean): Promise<number> {
  let seen = 0
  const shown = progress(() => `${count(seen, 'event')} checked`)
  const verdict = await verifyBundle(readFileInPlace(file), await bundleTrust(pins), {
    onProgress: ({ events }) => {
      seen = events
      shown.step()
    },
  })
    .catch((error) => {
      throw unreadBundle(error, file)
    })
    .finally(shown.done)
  out(asJson ? json(verdict) : report(verdict, backingOf(verdict, pins.by)))
  const isSilent = (verdict.silences?.foundCount ?? 0) > 0
  const isIncomplete = verdict.completeness.verdict === 'incomplete' && !isOnlyDropped(verdict.completeness)
  if (verdict.outcome === 'failed' || isIncomplete || isSilent) return EXIT.failed
  return verdict.outcome === 'verified' && verdict.completeness.verdict === 'complete' ? EXIT.ok : EXIT.undecided
}

function report(verdict: BundleVerdict, backing: readonly Backing[]): Text {
  const { outcome, scope, events, entries, registrations, signatures, made, origin, size, anchors } = verdict
  const held = anchors.filter((anchor) => anchor.held)
  const notFinal = held.filter(({ final }) => !final).length
  const depth = notFinal > 0 ? `, ${notFinal} of them not final yet` : ''
  const whose = outcome !== 'failed' && backing.every(isPinned) ? `: ${pinnersOf(backing)}` : ''
  return lines([
    ...(scope ? [text`A bundle of ${scopeWords(scope)}`] : []),
    ...(made ? [text`It says that it was made at ${made.at} from ${made.url}`] : []),
    text`${count(events, 'event')}, ${count(registrations, 'registration')}, ${count(entries, 'entry').replace(/ys$/, 'ies')} of ${origin ?? 'a log'}, which has ${size ?? '?'}`,
    text`${count(signatures, 'signature')} verified; ${held.length} of ${count(anchors.length, 'anchor')} confirmed by the chain${depth}`,
    '',
    ...faultLines(verdict),
    ...(outcome === 'failed' ? [] : [trustLines(backing)]),
    '',
    ...genuineLines(verdict, whose),
    ...completenessLines(verdict.completeness, verdict),
    ...fieldLines(verdict),
    ...silenceLines(verdict),
    ...(verdict.forPeople.length > 0
      ? [text`For people, signed by nobody, and not relied on: ${verdict.forPeople.map(({ name }) => name).join(', ')}`]
      : []),
  ])
}

/** On whose word the keys and the contract rest. */
function backingOf(verdict: BundleVerdict, by: PinSet['by']): Backing[] {
  const { origin, sources, anchors, missing } = verdict
  const word = { name: origin ?? 'the log' }
  // The ledger's own keys are what its log says, and of no source at all nobody has compared a key.
  const others = sources.filter(({ source }) => source !== 'killick')
  const isPinnedAll = others.length > 0 && others.every(({ pinned }) => pinned)
  const held = anchors.filter((anchor) => anchor.held)
  return [
    { what: 'the keys of the sources', by: isPinnedAll ? { pinned: by.sourceKeys } : word },
    { what: 'the log’s key', by: missing.includes('log_key') ? word : { pinned: by.logKeys } },
    {
      what: 'the contract',
      by: held.length === 0 ? 'nobody' : held.some(({ pinned }) => pinned) ? { pinned: by.logs } : word,
    },
  ]
}
