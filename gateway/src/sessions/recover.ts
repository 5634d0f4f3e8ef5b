// What an earlier process began and did not end, because it was killed: its outcome is unknown, and an event says so.
import type { JsonObject, Party } from '@killick/sdk/core'
import type { RecordOptions } from '@killick/sdk/sealing'
import type { RecordedEvent, RecorderKind } from './event.ts'
import type { Begun, OpenIntents } from './open-intents.ts'

/** Records each as unknown. @param sealed who stands for actors that are sealed, and what says that nobody's data is left @throws what the first that could not be recorded threw; those stay open */
export async function recordUnknown(
  kind: RecorderKind,
  left: readonly Begun[],
  log: { record(event: RecordedEvent, options?: RecordOptions): Promise<unknown> },
  open: OpenIntents,
  { itself, options }: { itself: Party; options: RecordOptions | undefined },
): Promise<void> {
  const known: JsonObject = { kind: 'outcome', state: 'unknown', why: 'recorder_was_killed' }
  await Promise.all(
    left.map(async ({ event, action, session, actor, targets }) => {
      const unknown: RecordedEvent = {
        action: endOf(kind, action),
        // Whose it was, the intent says to those who can read it.
        actor: (actor as RecordedEvent['actor'] | null) ?? itself,
        targets: targets as unknown as NonNullable<RecordedEvent['targets']>,
        context: { session },
        metadata: { [kind]: { ...known, intent: event } },
      }
      await log.record(unknown, options)
      open.ended(event)
    }),
  )
}

/** The action that ends what an action has begun. */
function endOf(kind: RecorderKind, action: string): string {
  return action === `${kind}.session.start` ? `${kind}.session.end` : `${action}.result`
}
