import { writeFile } from 'node:fs/promises'
import { openApi } from '../audit/api.ts'
import { parseProof, printProof } from '../core/proof.ts'
import { type Command, EXIT, readArgs, required, UsageError } from './command.ts'
import { count, err, out } from './terminal.ts'

export const proof: Command = {
  summary: 'fetch the proof of an event',
  help: `killick proof: fetch the proof of an event

Usage: killick proof <event> [--url <url>] [--token <token>] [--out <file>]

<event> is the event's id (a UUID) or its leaf hash (43 characters). The proof is one JSON document that anyone can check with
killick verify, without asking the service again. It shows every field of the event that the service still holds.

  --url <url>       the service; or KILLICK_URL
  --token <token>   a reader token of the service; or KILLICK_TOKEN, which keeps it out of the list of processes
  --out <file>      write to a file instead of stdout

Exit codes: 0 written · 2 wrong usage, or no such event · 3 the service could not be reached

Examples:
  killick proof 0192f0c1-7b1a-7c3e-9f00-5b1f6a3c2d10 --url http://127.0.0.1:8787 --out proof.json
  killick proof 0192f0c1-7b1a-7c3e-9f00-5b1f6a3c2d10 | killick verify - --rpc https://rpc.example.com
`.trimEnd(),
  run: async (args) => {
    const { values, positionals } = readArgs(
      args,
      { url: { type: 'string' }, token: { type: 'string' }, out: { type: 'string' } },
      ['event'],
    )
    const api = openApi(required(values.url, 'url', 'KILLICK_URL'), values.token ?? process.env.KILLICK_TOKEN)
    const document = parseProof(await api.text(`/v1/proofs/${encodeURIComponent(positionals[0]!)}`))
    if (values.out === undefined) {
      out(printProof(document))
      return EXIT.ok
    }
    await writeFile(values.out, `${printProof(document)}\n`).catch((error: Error) => {
      throw new UsageError(error.message)
    })
    const anchored = document.anchors.length > 0 ? count(document.anchors.length, 'anchor') : 'not anchored yet'
    err(`Proof in ${values.out}: entry ${document.log.index} of ${document.log.origin}, ${anchored}`)
    return EXIT.ok
  },
}
