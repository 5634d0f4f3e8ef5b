// What an earlier process began and did not end, because it was killed: its outcome is unknown, and an event says so.
import type { Begun, OpenRequests } from './open-intents.ts'
import type { McpSink } from './recording.ts'

const START = 'mcp.session.start'

/** Records each as unknown. @throws what the first that could not be recorded threw; those stay open */
export async function recordUnknown(left: readonly Begun[], sink: McpSink, open: OpenRequests): Promise<void> {
  await Promise.all(
    left.map(async ({ event, action, session, actor, targets }) => {
      await sink.record({
        action: action === START ? 'mcp.session.end' : `${action}.result`,
        actor: actor as Parameters<McpSink['record']>[0]['actor'],
        targets: targets as Parameters<McpSink['record']>[0]['targets'],
        context: { session },
        metadata: { mcp: { kind: 'outcome', state: 'unknown', why: 'recorder_was_killed', intent: event } },
      })
      open.ended(event)
    }),
  )
}
