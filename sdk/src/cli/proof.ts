import { writeFile } from 'node:fs/promises'
import { MAX_PROOF_BYTES, parseProof, printProof } from '../core/proof.ts'
import { printable } from '../core/text.ts'
import { accessOf, openAccess } from './access.ts'
import { type Command, EXIT, readArgs } from './command.ts'
import { inputError } from './input.ts'
import { PROOF } from './table/reading.ts'
import { count, err, out } from './terminal.ts'

export const proof: Command = {
  run: async (args) => {
    const given = readArgs(PROOF, args)
    const { values, positionals } = given
    const api = openAccess(accessOf(PROOF, given))
    const path = `/v1/proofs/${encodeURIComponent(positionals[0]!)}`
    const document = parseProof(await api.bytes(path, MAX_PROOF_BYTES))
    // Invisible characters in the proof are printed as JSON escapes, which mean the same.
    const printed = printable(printProof(document))
    if (values.out === undefined) {
      out(printed)
      return EXIT.ok
    }
    await writeFile(values.out, `${printed}\n`).catch((error) => {
      throw inputError(error, values.out!)
    })
    const anchored = document.anchors.length > 0 ? count(document.anchors.length, 'anchor') : 'not anchored yet'
    err(`Proof in ${values.out}: entry ${document.log.index} of ${document.log.origin}, ${anchored}`)
    return EXIT.ok
  },
}
