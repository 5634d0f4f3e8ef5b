// What an earlier process began and did not end, because it was killed: its outcome is unknown, and an event says so.
import type { JsonObject } from '@killick/sdk/core'
import type { RecordedEvent, RecorderKind } from './event.ts'
import type { Begun, OpenIntents } from './open-intents.ts'

/** Records each as unknown. @throws what the first that could not be recorded threw; those stay open */
export async function recordUnknown(
  kind: RecorderKind,
  left: readonly Begun[],
  log: { record(event: RecordedEvent): Promise<unknown> },
  open: OpenIntents,
): Promise<void> {
  const known: JsonObject = { kind: 'outcome', state: 'unknown', why: 'recorder_was_killed' }
  await Promise.all(
    left.map(async ({ event, action, session, actor, targets }) => {
      await log.record({
        action: endOf(kind, action),
        actor: actor as RecordedEvent['actor'],
        targets: targets as unknown as NonNullable<RecordedEvent['targets']>,
        context: { session },
        metadata: { [kind]: { ...known, intent: event } },
      })
      open.ended(event)
    }),
  )
}

/** The action that ends what an action has begun. */
function endOf(kind: RecorderKind, action: string): string {
  return action === `${kind}.session.start` ? `${kind}.session.end` : `${action}.result`
}
