// What a person sees of a call that waits. What strangers have written stands in it as text, with nothing in it that cannot be seen.
import { createHash } from 'node:crypto'
import { type JsonValue, printable } from '@killick/sdk/core'

/** What a page says of a call. */
export type PageCall = {
  readonly tool: string
  /** As the recording shows them. */
  readonly arguments: JsonValue
  /** Where all of them can be seen, if the recording has only their hash; else null. */
  readonly whole: string | null
  readonly rule: string
  readonly agent: string
  readonly server: string
  readonly session: string
  readonly until: string
}

const STYLE = [
  'body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem}',
  'pre{background:#f4f4f4;color:#111;padding:1rem;overflow:auto;max-height:60vh;white-space:pre-wrap;overflow-wrap:anywhere}',
  'dt{font-weight:600}dd{margin:0 0 .5rem;overflow-wrap:anywhere}button,input{font:inherit;padding:.4rem .8rem}',
].join('')

/** No script runs, nothing is loaded, no other page frames it, and its address, which is a secret, goes to no other site. */
export const PAGE_HEADERS = {
  'content-type': 'text/html; charset=utf-8',
  'content-security-policy': `default-src 'none'; style-src 'sha256-${createHash('sha256').update(STYLE).digest('base64')}'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'`,
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'same-origin',
  'cache-control': 'no-store',
  connection: 'close',
}

/** The page with the form. @param fault what was wrong with the one before; null: nothing */
export function pageOfCall(call: PageCall, fault: string | null): string {
  const args = JSON.stringify(call.arguments, null, 2).split('\n').map(printable).join('\n')
  const facts = { Tool: call.tool, Server: call.server, Agent: call.agent, Session: call.session, Rule: call.rule }
  const list = Object.entries({ ...facts, 'Denied after': call.until })
    .map(([name, value]) => `<dt>${name}</dt><dd>${escaped(printable(value))}</dd>`)
    .join('')
  return page(
    'A call of a tool waits for you',
    `${fault === null ? '' : `<p role="alert"><strong>${escaped(fault)}</strong></p>`}<dl>${list}</dl>
<p>Its arguments, as the recording shows them. Names are those that agent and server give themselves.</p>
<pre>${escaped(args)}</pre>${call.whole === null ? '' : `\n<p><a href="${escaped(call.whole)}">See all of the arguments</a>, without secrets, before you decide.</p>`}
<form method="post"><p><label>Your key <input type="password" name="key" required autocomplete="off"></label></p>
<p><button name="verdict" value="denied">Deny</button> <button name="verdict" value="approved">Approve</button></p></form>`,
  )
}

/** Characters of one part of arguments that are too long for the page with the form. */
const PART = 64 << 10

/** One part of long arguments. @param text all of them, as JSON @param form address of the page with the form @returns null: there is no such part */
export function pageOfPart(text: string, part: number, form: string): string | null {
  const parts = Math.ceil(text.length / PART)
  if (part < 1 || part > parts) return null
  // The next part begins with the other half of a character that this one would cut.
  const cut = (at: number): number => (at < text.length && /[\udc00-\udfff]/.test(text[at]!) ? at + 1 : at)
  const shown = printable(text.slice(cut((part - 1) * PART), cut(part * PART)))
  const to = (other: number, words: string) =>
    other < 1 || other > parts ? '' : ` <a href="${escaped(`${form}/${other}`)}">${words}</a>`
  return page(
    `Arguments of the call, part ${part} of ${parts}`,
    `<pre>${escaped(shown)}</pre>
<p>${to(part - 1, 'Part before')}${to(part + 1, 'Next part')} <a href="${escaped(form)}">Back, to decide</a></p>`,
  )
}

/** A page that only says something. */
export const pageOfNotice = (text: string): string =>
  page('Approval of a call', `<p role="status">${escaped(text)}</p>`)

const page = (title: string, body: string): string =>
  `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${title}</title>` +
  `<style>${STYLE}</style><h1>${title}</h1>${body}</html>\n`

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}
const escaped = (text: string): string => text.replace(/[&<>"']/g, (char) => ENTITIES[char]!)
