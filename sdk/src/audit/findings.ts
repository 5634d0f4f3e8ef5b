// Collects what an audit finds, check by check. It keeps the earliest fault of each check and counts the rest.
import type { CheckStatus } from '../verify/finding.ts'
import type { AuditReason } from './codes.ts'

/**
 * One check of an audit: a stable `id` (docs/ERRORS.md lists them), what holds if it passed, its result, why (a stable
 * code), and what was found.
 */
export type AuditCheck = { id: string; title: string; status: CheckStatus; reason: AuditReason; detail: string }

/**
 * The event at fault, as precisely as possible. `logIndex` is its batch's entry in the log, from 0; `seq` its place in the
 * stream.
 */
export type FaultPlace = { logIndex: number; source?: string; stream?: string; seq?: number; id?: string }

/** A fault: where it is (`null` if it concerns the log as a whole), its reason, and what was found, in words. */
export type Fault = { readonly place: FaultPlace | null; readonly reason: AuditReason; readonly message: string }

/** A number of faults of one check, of which the first is told. */
export type KeptFault = Fault & { readonly check: string; readonly count: number }

const order = (place: FaultPlace | null): [number, number] => [
  place?.logIndex ?? Number.POSITIVE_INFINITY,
  place?.seq ?? -1,
]
const isBefore = (a: FaultPlace | null, b: FaultPlace | null): boolean => {
  const [[i, m], [j, n]] = [order(a), order(b)]
  return i < j || (i === j && m < n)
}

const STOPPED = { reason: 'stopped', detail: 'The audit stopped before this check' } as const

export class Findings {
  readonly #titles = new Map<string, string>()
  readonly #passed = new Map<string, string>()
  readonly #skipped = new Map<string, { reason: AuditReason; detail: string }>()
  readonly #faults = new Map<string, Fault & { count: number }>()
  #isSilent = false

  /** Announces a check; if nobody concludes it, it counts as skipped. */
  expect(id: string, title: string): void {
    this.#titles.set(id, title)
  }

  pass(id: string, detail: string): void {
    this.#passed.set(id, detail)
  }

  skip(id: string, reason: AuditReason, detail: string): void {
    this.#skipped.set(id, { reason, detail })
  }

  fail(id: string, reason: AuditReason, message: string, place: FaultPlace | null = null): void {
    if (this.#isSilent) return
    const known = this.#faults.get(id)
    const count = (known?.count ?? 0) + 1
    if (known && !isBefore(place, known.place)) known.count = count
    else this.#faults.set(id, { place, message, reason, count })
  }

  /** Does something whose faults have been told before. */
  silently<T>(act: () => T): T {
    this.#isSilent = true
    try {
      return act()
    } finally {
      this.#isSilent = false
    }
  }

  /** The faults so far, of each check the earliest, and how many there were. */
  save(): KeptFault[] {
    return [...this.#faults].map(([check, fault]) => ({ check, ...fault }))
  }

  /** Goes on with faults that were kept. */
  load(faults: readonly KeptFault[]): void {
    for (const { check, ...fault } of faults) this.#faults.set(check, fault)
  }

  get failed(): boolean {
    return this.#faults.size > 0
  }

  /** The earliest fault that has a place in the log. */
  get first(): (FaultPlace & { message: string }) | null {
    const placed = [...this.#faults.values()].filter(({ place }) => place !== null)
    const [first] = placed.sort((a, b) => (isBefore(a.place, b.place) ? -1 : 1))
    return first ? { ...first.place!, message: first.message } : null
  }

  get checks(): AuditCheck[] {
    return [...this.#titles].map(([id, title]) => {
      const fault = this.#faults.get(id)
      const more = fault && fault.count > 1 ? ` (and ${fault.count - 1} more)` : ''
      if (fault) return { id, title, status: 'failed', reason: fault.reason, detail: fault.message + more }
      const passed = this.#passed.get(id)
      if (passed !== undefined) return { id, title, status: 'passed', reason: 'ok', detail: passed }
      const skipped = this.#skipped.get(id) ?? STOPPED
      return { id, title, status: 'skipped', ...skipped }
    })
  }
}
