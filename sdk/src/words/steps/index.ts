/** A session's events, step by step, in words: English. */
import type { ToldStep } from './parts.ts'
import { readStep, type SessionEvent, type SessionStep, withoutSealed } from './step.ts'
import { COMMAND } from './tell/command.ts'
import { tellAny } from './tell/generic.ts'
import { HTTP, tellRequest } from './tell/http.ts'
import { MCP } from './tell/mcp.ts'
import { POSTGRES } from './tell/postgres.ts'

export type { ToldStep } from './parts.ts'
export {
  readStep,
  SESSION_TARGET,
  type SessionEvent,
  type SessionStep,
  type StepEnding,
  type StepRole,
  sessionOf,
} from './step.ts'

const TELLERS = [COMMAND, MCP, POSTGRES, HTTP]

/**
 * Tells a step in one line. An action that nobody has written words for is told as it stands.
 * @param step what `readStep` says of the event
 */
export function tellStep(event: SessionEvent, step: SessionStep = readStep(event)): ToldStep {
  const { action } = step
  const table = action === null ? undefined : TELLERS.find((each) => Object.hasOwn(each, action))
  // A route may have any action.
  const otherwise = step.kind === 'http' && step.role !== 'other' ? tellRequest : tellAny
  return (table?.[action!] ?? otherwise)(withoutSealed(event), step)
}

/** How a step ended, in words; empty for what says nothing of an end, or whose outcome is told by a step of its own. */
export function endingInWords({ ending, state, ms }: SessionStep): string {
  const words = ending === 'none' ? '' : ending === 'hidden' ? 'outcome not shown' : ending
  const parts = [words, state ?? '', ms === null ? '' : `${ms} ms`]
  return parts.filter((part) => part !== '').join(', ')
}
