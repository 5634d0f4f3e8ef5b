// What a client prepares, binds and describes waits until it asks for more than that. The server may execute functions of others when it reads
// a text, and when it binds a portal: the condition of a domain, a function that it takes for a constant. So none of it goes on before an intent
// that holds it: that of its execution, or else one of its own.
import type { Lane, LaneItem } from './lane.ts'
import type { Portal, Prepared } from './prepared.ts'
import type { Op, Work } from './work.ts'

/** A message before the execution that it is for. */
export type AskedStep = {
  readonly step: 'parse' | 'bind' | 'describe'
  readonly frame: Buffer
  readonly name: string
  /** Null: it was prepared where this session did not see it. */
  readonly prepared: Prepared | null
  readonly portal: Portal | null
}

type Waiting = { readonly item: LaneItem; readonly op: Op; readonly step: AskedStep | null }

/** What waiting messages need. */
export type AskedStepsEnds = {
  /** Begins an intent for a step that belongs to no execution. `begun`: as far as the server has to wait for it. */
  begin(step: AskedStep): { work: Work; begun: Promise<unknown> }
  /** What the server is sent in the place of each of them. */
  refused(error: unknown): { bytes: Buffer; op: Op }
}

/** The steps of one session that wait. */
export class AskedSteps {
  readonly #lane: Lane
  readonly #ends: AskedStepsEnds
  #waiting: Waiting[] = []

  constructor(lane: Lane, ends: AskedStepsEnds) {
    this.#lane = lane
    this.#ends = ends
  }

  /** @param step null: nothing can be executed by it, but it keeps its place */
  add(frame: Buffer, op: Op, step: AskedStep | null): void {
    if (step === null && !this.isWaiting) this.#lane.send(frame, op)
    else this.#waiting.push({ item: this.#lane.hold(frame, op), op, step })
  }

  get isWaiting(): boolean {
    return this.#waiting.length > 0
  }

  /** Nothing is executed of what waits: each step has an intent of its own. */
  release(): void {
    this.begin(null)?.(Promise.resolve(), null)
  }

  /**
   * Something is executed.
   * @param portal its own bind, and what it was prepared by, are in its intent; of all other steps each has an intent now
   * @returns null if nothing waits; else what lets it pass, once the intent of the execution is durable
   */
  begin(portal: Portal | null): ((begun: Promise<unknown>, work: Work | null) => void) | null {
    const waiting = this.#waiting
    if (waiting.length === 0) return null
    this.#waiting = []
    const own: Promise<unknown>[] = []
    const parts: Op[] = []
    const parsed = new Set(waiting.flatMap(({ step }) => (step?.step === 'parse' ? [step.prepared] : [])))
    for (const { op, step } of waiting) {
      if (step === null) continue
      if (isPartOf(step, portal)) {
        parts.push(op)
        continue
      }
      if (step.step === 'describe' && parsed.has(step.prepared)) continue
      const { work, begun } = this.#ends.begin(step)
      op.work = work
      own.push(begun)
    }
    return (begun, executed) => {
      if (executed !== null) for (const op of parts) op.part = executed
      this.#lane.open(
        own.length === 0 ? begun : Promise.all([...own, begun]),
        waiting.map(({ item }) => item),
        (error, { naming }) => {
          naming?.drop()
          return this.#ends.refused(error)
        },
      )
    }
  }
}

function isPartOf({ step, prepared, portal }: AskedStep, executed: Portal | null): boolean {
  if (executed === null) return false
  return step === 'bind' ? portal === executed : prepared !== null && prepared === executed.prepared
}
