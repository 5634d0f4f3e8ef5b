import { writeFile } from 'node:fs/promises'
import { MAX_PROOF_BYTES, parseProof, printProof } from '../core/proof.ts'
import { printable } from '../core/text.ts'
import { ACCESS_HELP, ACCESS_OPTIONS, accessOf, openAccess } from './access.ts'
import { type Command, EXIT, readArgs } from './command.ts'
import { inputError } from './input.ts'
import { count, err, out } from './terminal.ts'

export const proof: Command = {
  summary: 'fetch the proof of an event',
  help: `killick proof: fetch the proof of an event

Usage: killick proof <event> [--url <url>] [--token <token>] [--out <file>]

<event> is the event's id (a UUID) or its leaf hash (43 characters). The proof is one JSON document that anyone can check with
killick verify, without asking the service again. It shows every field of the event that the service still holds.

${ACCESS_HELP}
  --out <file>      write to a file instead of stdout

Exit codes: 0 written · 2 wrong usage, or no such event · 3 the service could not be reached

Examples:
  killick proof 0192f0c1-7b1a-7c3e-9f00-5b1f6a3c2d10 --url http://127.0.0.1:8787 --out proof.json
  killick proof 0192f0c1-7b1a-7c3e-9f00-5b1f6a3c2d10 | killick verify - --rpc https://rpc.example.com
`.trimEnd(),
  run: async (args) => {
    const { values, positionals } = readArgs(args, { ...ACCESS_OPTIONS, out: { type: 'string' } }, ['event'])
    const api = openAccess(accessOf(values))
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
