import { createContext, runInContext } from 'node:vm'
import { build } from 'esbuild'
import { expect, test } from 'vitest'
import { vectors } from '../../support/vectors.ts'

test('@killick/sdk/verify runs without anything of Node', async () => {
  const { outputFiles, warnings } = await build({
    stdin: { contents: "export * from '@killick/sdk/verify'", resolveDir: import.meta.dirname },
    bundle: true,
    write: false,
    format: 'iife',
    globalName: 'killick',
    platform: 'browser',
    target: 'es2022',
    logLevel: 'silent',
  })
  expect(warnings).toEqual([])
  // Besides the language itself, only what every browser has.
  const context = createContext({ TextEncoder, TextDecoder, URL, console: undefined })
  const run = <T>(code: string): T => JSON.parse(runInContext(`JSON.stringify(${code})`, context) as string) as T
  expect(run<string[]>('[typeof process, typeof Buffer, typeof require, typeof fetch]')).toEqual(
    Array(4).fill('undefined'),
  )
  runInContext(outputFiles[0]!.text, context)

  const cases = vectors<{ proof: string; trust?: { facts?: unknown[] }; outcome?: string; level?: string }[]>('proofs')
  for (const { proof, trust, outcome, level } of cases.filter((v) => v.outcome !== undefined)) {
    context.given = JSON.stringify({ proof, trust })
    const verdict = run<{ outcome: string; level: string }>(`(() => {
      const { proof, trust } = JSON.parse(given)
      for (const fact of trust.facts ?? []) fact.root = killick.parseHash(fact.root)
      return killick.verifyProof(killick.parseProof(proof), trust)
    })()`)
    expect({ outcome: verdict.outcome, level: verdict.level }).toEqual({ outcome, level })
  }
})
