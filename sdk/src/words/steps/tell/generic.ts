/** How a step is told of whose action nothing more is known. */
import { field, said, type Teller, type ToldStep, targetsOf } from '../parts.ts'

/** Those that docs/PROTOCOL.md §5 names; any other is the recorder's own. */
const OF_THE_PROTOCOL: ReadonlySet<string> = new Set([
  ...[
    'action',
    'actor',
    'targets',
    'outcome',
    'context',
    'changes',
    'metadata',
    'occurredAt',
    'catalogue',
    'collected',
  ],
])

/** The action as it stands, what it is about, and the recorder's own fields. */
export const tellAny: Teller = (event, step) => {
  const targets = targetsOf(event)
  const own = [...Object.keys(event.fields), ...event.sealed].filter((name) => !OF_THE_PROTOCOL.has(name))
  return [
    step.action === null ? 'an action that is not shown' : said(step.action),
    ...targets.flatMap((target, i): ToldStep => [i === 0 ? ' ' : ', ', target]),
    ...own.flatMap((name): ToldStep => ['; ', said(name), ...field(name, ' ', event, step)]),
  ]
}
