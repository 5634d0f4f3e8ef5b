/** What a chat tool shows of a proof link: only what the link itself discloses. */
import { type JsonObject, type ParsedEvent, sealedIn } from '@killick/sdk/core'

export type Preview = { title: string; description: string }

/** For links that show nothing, whatever the reason. */
export const NO_PREVIEW: Preview = {
  title: 'A Killick proof link',
  description: 'Opens a record of an audit ledger, and checks in your own browser whether it is genuine.',
}

const MAX_WORDS = 120

/** Text as one line, without characters that are invisible or reorder the text around them. */
function words(value: unknown): string {
  const text = String(value ?? '').replace(/[\p{C}\p{Zl}\p{Zp}]/gu, '')
  return text.length > MAX_WORDS ? `${text.slice(0, MAX_WORDS)}…` : text
}

function party(value: unknown): string {
  // As the page says it; the name of the key is nobody's.
  if (sealedIn('actor', value) !== null) return 'somebody or something whose name is sealed'
  const { type, id, name } = value as JsonObject
  return words(name ?? `${type} ${id}`)
}

export function previewOf(event: ParsedEvent): Preview {
  const { action, actor, targets, outcome } = event.fields
  // A reader who sees only the preview must not mistake a denied action for one that was done.
  const ending = outcome === 'denied' ? 'Denied: ' : outcome === 'failure' ? 'Failed: ' : ''
  const isHidden = outcome === undefined && event.fieldCount > event.disclosures.length
  const did = `${ending}${action === undefined ? 'A record' : words(action)}`
  const who = actor === undefined ? '' : ` by ${party(actor)}`
  const [first] = (targets as JsonObject[] | undefined) ?? []
  const what = first === undefined ? '' : `, ${party(first)}`
  const when = new Date(event.time).toISOString().replace('T', ' ').slice(0, 16)
  return {
    title: `${did}${who}`,
    description: `Recorded by ${event.source} on ${when} UTC${what}.${isHidden ? ' Whether it succeeded is not shown.' : ''} Open it to check in your own browser that it is genuine.`,
  }
}
