// Checks every checkpoint that the service keeps, since it makes proofs and receipts with them.
import { equalBytes, toBase64url, utf8 } from '../core/bytes.ts'
import { printCheckpoint } from '../core/checkpoint.ts'
import { KillickError } from '../core/errors.ts'
import { parseNote, parseVkey, splitVkeys } from '../core/note.ts'
import { verifierOf } from '../node/signature.ts'
import { type CheckpointRow, parseCheckpointRow, readRows } from './answers.ts'
import type { Api } from './api.ts'
import { isFaulty } from './faulty.ts'
import type { Fault } from './findings.ts'
import type { OwnCheck } from './own-check.ts'
import { RowCursor } from './rows.ts'

const PAGE = 1_000

/** @param logKeys each note must be signed by one of these, and by no other key */
export function checkNotes(api: Api, origin: string, logKeys: readonly string[]): OwnCheck {
  const keys = splitVkeys(logKeys).supported.map((vkey) => {
    const { name, keyId, publicKey } = parseVkey(vkey)
    return { name, keyId, verify: verifierOf({ kty: 'OKP', crv: 'Ed25519', x: toBase64url(publicKey) }) }
  })
  const sizeOf = ({ size }: CheckpointRow) => size
  const rows = new RowCursor<CheckpointRow>((after) => {
    const path = `/v1/checkpoints?from=${after + 1}&limit=${PAGE}`
    return readRows(api, path, 'checkpoints', after, parseCheckpointRow, sizeOf)
  }, sizeOf)
  let count = 0
  let failure: string | null = null

  function isSigned(note: string, text: string): boolean {
    try {
      const parsed = parseNote(note)
      return parsed.text === text && parsed.signatures.length === 1 && isBy(keys, text, parsed.signatures[0]!)
    } catch (error) {
      if (error instanceof KillickError) return false
      throw error
    }
  }

  return {
    id: 'checkpoints',
    title: 'Every checkpoint that is kept is the log’s, and signed by it',
    resumes: {
      again: false,
      save: () => [{ count, failure }],
      load(value, isSame) {
        if (isSame) ({ count, failure } = value as { count: number; failure: string | null })
      },
      async begin({ size }) {
        rows.beginAfter(size)
        return []
      },
    },
    async entry({ logIndex, root }) {
      if (failure !== null || keys.length === 0) return []
      const size = logIndex + 1
      const faults: Fault[] = []
      try {
        for (const { size: at, note } of await rows.upTo(size)) {
          count += 1
          const text = at === size ? printCheckpoint({ origin, size, root: root() }) : null
          if (text !== null && isSigned(note, text)) continue
          const message = `The checkpoint of ${at} is not one that the log has signed for its first ${at} entries`
          faults.push({ place: { logIndex: Math.max(0, at - 1) }, reason: 'signature_invalid', message })
        }
      } catch (error) {
        if (!isFaulty(error)) throw error
        failure = error.message
        faults.push({ place: null, reason: 'unreadable', message: `The checkpoints cannot be read: ${failure}` })
      }
      return faults
    },
    finish: async () => ({
      faults: [],
      detail: `${count.toLocaleString('en')} notes`,
      skipped: keys.length === 0 ? { reason: 'nothing_known', detail: 'The log’s key is not known' } : null,
    }),
  }
}

type Key = { name: string; keyId: Uint8Array; verify: ReturnType<typeof verifierOf> }

function isBy(
  keys: readonly Key[],
  text: string,
  { name, keyId, signature }: { name: string; keyId: Uint8Array; signature: Uint8Array },
): boolean {
  const key = keys.find((known) => known.name === name && equalBytes(known.keyId, keyId))
  return key?.verify(utf8(text), signature) === true
}
