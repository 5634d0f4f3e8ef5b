import type { WorkerDeps } from '../../../../anchor-service/src/anchor/step-context.ts'
import { advance, type Visit } from '../../../../anchor-service/src/anchor/worker.ts'

/** A visit by a worker that believes it holds the lock, like one whose connection to PostgreSQL broke without its knowing. */
export function advanceUnlocked(deps: WorkerDeps): Promise<Visit> {
  const client = { query: async () => ({ rows: [{ mine: true }] }), on() {}, off() {}, release() {} }
  return advance(deps, { connect: async () => client } as never)
}
