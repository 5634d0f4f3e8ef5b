// Checks proofs as an auditor does: with pins from a file that the auditor keeps, and two nodes of the chain.
//
//   node check.mjs trust.json proof.json …      exits with 0 if each is verified, 1 if any failed, 3 if any is undecided
import { readFile } from 'node:fs/promises'
import { parseProof, readAnchors, verifyProof } from '@killick/sdk/verify'
import { inWords } from '@killick/sdk/words'

const [trustFile, ...proofFiles] = process.argv.slice(2)
const { rpcs = [], ...trust } = JSON.parse(await readFile(trustFile, 'utf8'))

const exits = []
for (const file of proofFiles) {
  const proof = parseProof(await readFile(file, 'utf8'))
  const facts = await readAnchors(proof, rpcs)
  const verdict = verifyProof(proof, { ...trust, facts })
  console.log(`${file}: ${verdict.outcome}`)
  for (const { status, title, detail } of inWords(verdict).checks) {
    if (status !== 'passed') console.log(`  ${status}: ${title}: ${detail}`)
  }
  exits.push({ verified: 0, failed: 1, undecided: 3 }[verdict.outcome])
}
// A failure outweighs what could not be decided.
process.exitCode = exits.includes(1) ? 1 : Math.max(0, ...exits)
