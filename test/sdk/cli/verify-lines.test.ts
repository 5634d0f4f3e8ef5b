import { expect, onTestFinished, test, vi } from 'vitest'
import type { ExportedLine } from '../../../sdk/src/cli/proof-input.ts'
import { verifyLines } from '../../../sdk/src/cli/verify-lines.ts'
import { verifyProof } from '../../../sdk/src/verify/verify-proof.ts'
import { vectors } from '../../support/vectors.ts'

test('an export with more events than are held in memory says that some lines were not compared', async () => {
  const [a, b, c] = vectors<{ proof: string }[]>('proofs')
    .slice(0, 3)
    .map(({ proof }) => JSON.parse(proof))
  async function* lines(): AsyncGenerator<ExportedLine> {
    for (const [i, value] of [a, b, c, b, c].entries()) yield { number: i + 1, value, fault: null }
  }
  const said: string[] = []
  for (const stream of [process.stdout, process.stderr]) {
    const write = vi.spyOn(stream, 'write').mockImplementation((text) => said.push(String(text)) > 0)
    onTestFinished(() => write.mockRestore())
  }
  await verifyLines(lines(), [], async (proof) => ({ verdict: verifyProof(proof, {}), backing: [] }), true, 2)
  expect(JSON.parse(said[5]!)).toMatchObject({ events: 5, repeated: 1, notCompared: 2 })
  expect(said[6]).toMatch(/the first 2 events alone; whether 2 lines behind these repeat each other is not known/)
})
