// The test vectors in test/vectors/: one file for each area, made from fixed keys, so that every run makes the same bytes.
// They are what a second implementation is held to; docs/PROTOCOL.md says how to read them.
//
//   node scripts/vectors.ts            write them
//   node scripts/vectors.ts --check    fail where a committed file differs
import { readFileSync, writeFileSync } from 'node:fs'
import { batches } from './lib/vectors/batches.ts'
import { bundles } from './lib/vectors/bundles.ts'
import { catalogues } from './lib/vectors/catalogues.ts'
import { droppedBundles } from './lib/vectors/dropped-bundles.ts'
import { events, jws } from './lib/vectors/events.ts'
import { json } from './lib/vectors/json.ts'
import { checkpoints, notes } from './lib/vectors/notes.ts'
import { proofs } from './lib/vectors/proofs.ts'
import { retention } from './lib/vectors/retention.ts'
import { sealedValues } from './lib/vectors/sealed.ts'
import { searchKeys } from './lib/vectors/search-keys.ts'
import { successions } from './lib/vectors/successions.ts'
import { consistency, hashing, inclusion } from './lib/vectors/trees.ts'

const AREAS = {
  ...{
    hashing,
    inclusion,
    consistency,
    json,
    notes,
    checkpoints,
    jws,
    events,
    batches,
    proofs,
    successions,
    catalogues,
    bundles: async () => [...(await bundles()), ...(await droppedBundles())],
    retention,
  },
  'search-keys': searchKeys,
  sealed: sealedValues,
}

const fileOf = (area: string) => new URL(`../test/vectors/${area}.json`, import.meta.url)

/** The text of each area's file. */
export async function makeVectors(): Promise<Map<string, string>> {
  const texts = new Map<string, string>()
  for (const [area, make] of Object.entries(AREAS)) texts.set(area, `${JSON.stringify(await make(), null, 2)}\n`)
  return texts
}

/** The committed text of an area's file; empty where there is none. */
export function readVectors(area: string): string {
  try {
    return readFileSync(fileOf(area), 'utf8')
  } catch {
    return ''
  }
}

if (import.meta.main) {
  const vectors = await makeVectors()
  for (const [area, text] of vectors) {
    if (!process.argv.includes('--check')) writeFileSync(fileOf(area), text)
    else if (readVectors(area) !== text) {
      console.error(`test/vectors/${area}.json differs: run node scripts/vectors.ts`)
      process.exitCode = 1
    }
  }
  if (!process.exitCode) console.log(`${vectors.size} files of vectors`)
}
