// What all measurements share: how much is measured, how it is shown, and by whom it is signed.
import { randomUUID } from 'node:crypto'
import { generateKey, publicJwk, signerOf } from '@killick/sdk'
import { verifyingRate } from './limits.ts'
import { register } from './service.ts'

export type BenchRow = { what: string; figure: string; beside: string; ratio?: number }

/**
 * How much is measured. `growth`: sizes of the ledger, in events, at which intake is measured again. `audited`: events that are audited.
 * `seconds`: of one round of what lasts a given time.
 */
export type BenchPlan = {
  rounds: number
  events: number
  growth: readonly number[]
  audited: number
  seconds: number
}

export const KEY = generateKey()
export const SIGNER = signerOf(KEY)

export const perSecond = (rate: number) => `${Math.round(rate).toLocaleString('en')}/s`
export const ms = (value: number) => `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`
export const mebibytes = (bytes: number) => `${Math.round(bytes / 2 ** 20)} MiB`

export function against(what: string, rate: number, limit: number, of: string, more = ''): BenchRow {
  return { what, figure: `${perSecond(rate)}${more}`, beside: `${perSecond(limit)} ${of}`, ratio: rate / limit }
}

/** A source of its own for each measurement, so that streams never meet. */
export async function newSource(url: string, eventSignatures: 'required' | 'optional' = 'required'): Promise<string> {
  const source = `bench-${randomUUID().slice(0, 8)}`
  await register(url, source, publicJwk(KEY), eventSignatures)
  return source
}

/** The result of a measurement with the limit of the machine: the mean of what it is just before and just after. */
export async function besideLimit<T>(
  run: () => Promise<T>,
  limitRate: (ms: number) => number | Promise<number> = verifyingRate,
): Promise<T & { limit: number }> {
  const before = await limitRate(500)
  const result = await run()
  return { ...result, limit: (before + (await limitRate(500))) / 2 }
}
