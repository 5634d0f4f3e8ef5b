import { setTimeout as sleep } from 'node:timers/promises'
import type { Api } from '../audit/api.ts'
import { reading } from '../core/problem.ts'
import { MAX_PROOF_BYTES, type Proof, parseProof, printProof } from '../core/proof.ts'
import { printable } from '../core/text.ts'
import { accessOf, isOutage, openAccess } from './access.ts'
import { type Command, EXIT, integer, readArgs } from './command.ts'
import { PROOF } from './table/reading.ts'
import { count, err, out } from './terminal.ts'
import { writeWhole } from './whole-file.ts'

export const proof: Command = {
  run: async (args) => {
    const given = readArgs(PROOF, args)
    const { values, positionals } = given
    const api = openAccess(accessOf(PROOF, given))
    const waitMs = 1000 * integer(values.wait, 'wait', 0)
    const document = await fetchProof(api, positionals[0]!, waitMs)
    if (waitMs > 0 && document.anchors.length === 0) {
      err(
        `The event was not anchored within ${values.wait} s; killick anchors says what is pending. Nothing was written.`,
      )
      return EXIT.undecided
    }
    // Invisible characters in the proof are printed as JSON escapes, which mean the same.
    const printed = printable(printProof(document))
    if (values.out === undefined) {
      out(printed)
      return EXIT.ok
    }
    await writeWhole(values.out, `${printed}\n`)
    const anchored = document.anchors.length > 0 ? count(document.anchors.length, 'anchor') : 'not anchored yet'
    err(`Proof in ${values.out}: entry ${document.log.index} of ${document.log.origin}, ${anchored}`)
    return EXIT.ok
  },
}

/** Between two looks while an anchor is awaited. */
const WAIT_MS = 300

/**
 * The proof of an event, anchored if it becomes so within `waitMs`. A service that has answered once may restart meanwhile.
 * @throws KillickError, also the service's refusal, and that it was away when the time was over
 */
export async function fetchProof(api: Api, event: string, waitMs: number): Promise<Proof> {
  const until = performance.now() + waitMs
  const path = `/v1/proofs/${encodeURIComponent(event)}`
  const read = async () => {
    const bytes = await api.bytes(path, MAX_PROOF_BYTES)
    return reading(path, () => parseProof(bytes))
  }
  let hasAnswered = false
  for (;;) {
    try {
      const document = await read()
      if (document.anchors.length > 0 || performance.now() >= until) return document
      hasAnswered = true
    } catch (error) {
      // Whether the event is anchored by the end, nobody saw.
      if (!hasAnswered || !isOutage(error) || performance.now() >= until) throw error
    }
    await sleep(WAIT_MS)
  }
}
