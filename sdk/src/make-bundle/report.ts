/** A report for people, as a page without a script: what a bundle says of itself, and how to check that. It proves nothing. */
import type { BundleManifest, BundleScope } from '../bundle/manifest.ts'
import { parseCheckpoint } from '../core/checkpoint.ts'
import { printHash } from '../core/hash.ts'
import { printable } from '../core/text.ts'

/** What is known once `log.txt` is written. */
export type Reported = {
  readonly entries: number
  readonly events: number
  /** Events that were dropped, as entries of the log say that are in it. */
  readonly dropped: number
  /** SHA-256 of each file so far, lower-case hex, by name. */
  readonly files: Readonly<Record<string, string>>
  /** Whether the verification page comes with it. */
  readonly hasPage: boolean
}

export function printReport({ scope, checkpoint, anchors, made }: BundleManifest, reported: Reported): string {
  const { origin, size, root } = parseCheckpoint(checkpoint)
  const { entries, events, dropped, files, hasPage } = reported
  const rows = (all: readonly (readonly [string, string])[]) =>
    all.map(([name, value]) => `<tr><th scope="row">${escaped(name)}</th><td>${escaped(value)}</td></tr>`).join('\n')
  const n = (value: number) => value.toLocaleString('en')
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Evidence bundle · ${escaped(origin)}</title>
<style>
body { max-width: 52rem; margin: 2rem auto; padding: 0 1rem; font: 1rem/1.5 system-ui, sans-serif; color: #14212a; overflow-wrap: anywhere }
h1 { line-height: 1.2 } h2 { margin-top: 2rem }
table { width: 100%; border-collapse: collapse } th, td { padding: .35rem .8rem .35rem 0; border-bottom: 1px solid #d9dcd8; text-align: left; vertical-align: top }
th[scope=row] { width: 12rem; font-weight: 400; color: #53616a } code, pre { font-size: .875em } pre { padding: .8rem; background: #f0efe9; white-space: pre-wrap }
.time, th[scope=col] { white-space: nowrap }
.note { padding: .8rem 1rem; border-left: .25rem solid #755000; background: #fbf1d9 }
</style>
</head>
<body>
<h1>Evidence bundle</h1>
<p>${escaped(scopeText(scope))}</p>
<p class="note">This page proves nothing: it says what whoever made the bundle says, and nobody has signed it. Whether the events are genuine, and whether they are all,
a check of the bundle says.</p>
<h2>What is in it</h2>
<table>
${rows([
  ['Events', `${n(events)}, registrations of keys among them`],
  ...(dropped > 0
    ? [['Not in it', `${n(dropped)} events that retention policies have dropped, as the ledger’s log says`] as const]
    : []),
  ['Entries of the log', `${n(entries)} of ${n(Number(size))}`],
  ['Log', origin],
  ['Root of the log', printHash(root)],
  ['Made', `${made.at} from ${made.url}`],
  ...Object.entries(files).map(([name, hash]) => [`SHA-256 of ${name}`, hash] as const),
])}
</table>
<h2>How to check it</h2>
<p>On a command line, with keys and contract from a place that you trust (<code>trust.json</code>):</p>
<pre>npx -p @killick/sdk killick verify the-file.bundle --trust trust.json</pre>
<p>Or in a browser: open the verification page of whoever you trust, and drop the bundle onto it.${
    hasPage
      ? ' The page <code>verify.html</code> in this archive does the same, and asks nobody but a node of the chain; it is as good as whoever gave you the archive.'
      : ''
  }</p>
<p>The archive is a tar file; the format is in Killick’s PROTOCOL, section 14.</p>
<h2>Anchors</h2>
${
  anchors.length === 0
    ? '<p>None: no chain vouches for this log up to here.</p>'
    : `<table>
<tr><th scope="col">Block time</th><th scope="col">Entries</th><th scope="col">Chain, block</th><th scope="col">Transaction</th></tr>
${anchors
  .map(
    ({ time, size: covered, chainId, block, transaction }) =>
      `<tr><td class="time">${new Date(1000 * time).toISOString().replace(/T(.*)\..*/, ' $1 UTC')}</td><td>${n(covered)}</td><td>${chainId}, ${block}</td><td><code>${escaped(transaction)}</code></td></tr>`,
  )
  .join('\n')}
</table>`
}
</body>
</html>
`
}

function scopeText(scope: BundleScope): string {
  if (scope.kind === 'stream')
    return `Events ${scope.first} to ${scope.last} of stream ${scope.stream} of ${scope.source}.`
  if (scope.kind === 'search') {
    const conditions = Object.entries(scope.conditions).map(([name, value]) => `${name} ${value}`)
    return `What the ledger’s index found for ${conditions.join(', ')}. That there is nothing else is its word.`
  }
  const period = [scope.since && `from ${scope.since}`, scope.until && `until ${scope.until}`].filter(Boolean).join(' ')
  return `Every event of ${scope.source} in the log’s entries ${scope.from} to before ${scope.to}${period && `, asked for ${period}`}.`
}

const ESCAPES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

/** Somebody else's words: marks of HTML, and characters that reorder or hide others, are shown as what they are. */
const escaped = (text: string): string => printable(text).replace(/[&<>"']/g, (char) => ESCAPES[char]!)
