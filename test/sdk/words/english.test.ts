// English for every verdict of the vectors. The verdict itself holds no words.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type AnchorFact, parseHash, parseProof, type Trust, verifyProof } from '@killick/sdk/verify'
import { checkInWords, english, inWords } from '@killick/sdk/words'
import { expect, test } from 'vitest'
import { vectors } from '../../support/vectors.ts'

type Read = { description: string; proof: string; trust: Trust & { facts?: (AnchorFact & { root: unknown })[] } }
const ENGLISH = english()
const isRead = (v: object): v is Read => 'trust' in v

const verdicts = [...vectors<object[]>('proofs'), ...vectors<{ proofs: object[] }>('successions').proofs]
  .filter(isRead)
  .map(({ proof, trust: { facts, ...rest } }) =>
    verifyProof(parseProof(proof), {
      ...rest,
      ...(facts && { facts: facts.map((fact) => ({ ...fact, root: parseHash(fact.root as unknown as string)! })) }),
    }),
  )
const checks = verdicts.flatMap((verdict) => verdict.checks)
const nameOf = (id: string) => id.replace(/^anchor\.\d+/, 'anchor')

test('each check has a title and a detail, made of its values', () => {
  expect(checks.length).toBeGreaterThan(1000)
  for (const check of checks) {
    const { title, detail } = checkInWords(check)
    const where = `${check.id} ${check.reason} ${JSON.stringify(check.values)}`
    expect(title, where).toMatch(/^The |^Every|^Contract/)
    expect(detail, where).toMatch(/\w/)
    expect(detail, where).not.toMatch(/undefined|null|NaN|\[object|\.$/)
  }
})

test('docs/PROTOCOL.md lists the values of every check and reason that the vectors reach', () => {
  const protocol = readFileSync(join(import.meta.dirname, '../../../docs/PROTOCOL.md'), 'utf8')
  const rows = protocol.split('| check | reason | values |\n|---|---|---|\n')[1]!.split('\n\n')[0]!.split('\n')
  const codes = (text: string) => [...text.matchAll(/`([\w.]+)`/g)].map(([, code]) => code!)
  const listed = rows.map((row) => {
    const [names, reasons, values] = row.replace(/^\| | \|$/g, '').split(' | ')
    return { names: names!, reasons: codes(reasons!), values: codes(values!) }
  })
  for (const { id, reason, values } of checks) {
    const name = id.replace(/^anchor\.\d+/, 'anchor.N')
    const row = listed.find(
      ({ names, reasons }) =>
        reasons.includes(reason) && (codes(names).includes(name) || (/^any/.test(names) && /^anchor/.test(name))),
    )
    const unlisted = Object.keys(values).filter((value) => !row?.values.includes(value))
    expect(unlisted, `${name} ${reason}`).toEqual([])
    expect(row === undefined || Object.keys(values).length > 0, `${name} ${reason} has none`).toBe(true)
  }
})

test('the vectors reach nearly every sentence there is', () => {
  const reached = new Set(checks.map(({ id, reason }) => `${nameOf(id)} ${reason}`))
  const all = Object.entries(ENGLISH.details).flatMap(([name, byReason]) =>
    Object.keys(byReason).map((reason) => `${name} ${reason}`),
  )
  expect([...reached].filter((sentence) => !all.includes(sentence))).toEqual([])
  expect(reached.size).toBeGreaterThan(0.7 * all.length)
})

test('a verdict in words is the verdict with words added', () => {
  for (const verdict of verdicts) {
    const { checks, missing, restsOn, ...rest } = inWords(verdict)
    expect(rest).toEqual({ ...verdict, checks: undefined, missing: undefined, restsOn: undefined })
    expect(checks.map(({ title: _, detail: __, ...data }) => data)).toEqual(verdict.checks)
    expect(missing).toHaveLength(verdict.missing.length)
    expect(restsOn).toHaveLength(verdict.restsOn.length)
  }
})

test('another language is a value of the same type', () => {
  const verdict = verdicts.find(({ outcome }) => outcome === 'undecided')!
  const shouted = { ...ENGLISH, missing: { ...ENGLISH.missing, source_key: 'EIN SCHLÜSSEL' } }
  expect(inWords({ ...verdict, missing: ['source_key'] }, shouted).missing).toEqual(['EIN SCHLÜSSEL'])
})
