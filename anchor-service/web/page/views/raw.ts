/** The proof itself, to look at and to take away. */
import { type Proof, printProof, type Verdict } from '@killick/sdk/verify'
import { h } from '../../shared/dom.ts'
import { packFragment } from '../../shared/fragment.ts'
import { words } from '../../shared/language.ts'
import { MAX_QR_BYTES, qrCode } from '../qr.ts'

/** JSON of the same meaning in ASCII alone: nothing in it can reorder or hide what is shown. */
function pretty(json: string): string {
  const numbered = (char: string) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`
  return JSON.stringify(JSON.parse(json), null, 2).replace(/[^\x20-\x7e\n]/g, numbered)
}

export function download(json: string, name: string): void {
  const url = URL.createObjectURL(new Blob([json], { type: 'application/json' }))
  h('a', { href: url, download: name }).click()
  setTimeout(() => URL.revokeObjectURL(url), 10_000)
}

/** Whether a proof comes to the same without what the log says of keys: that is judged, holds, and is about one key. */
function isSameWithoutRegistrations({ outcome, checks, registrations }: Verdict): boolean {
  const { reason } = checks.find(({ id }) => id === 'source.registration')!
  return outcome !== 'failed' && reason === 'ok' && new Set(registrations.map(({ kid }) => kid)).size <= 1
}

/**
 * A link that needs no service: it holds the whole proof; where that would be too long for a QR code, and for some mail
 * programs, all but what the log says of keys, as far as a verifier can do without.
 * @param home - This page without a share.
 */
export async function linkWith(proof: Proof, verdict: Verdict, home: string): Promise<string> {
  const page = new URL(home, location.href).href.split('#')[0]
  const whole = `${page}#${await packFragment(printProof(proof))}`
  if (whole.length <= MAX_QR_BYTES || proof.registrations === undefined) return whole
  if (!isSameWithoutRegistrations(verdict)) return whole
  const { registrations: _, ...shorter } = proof
  return `${page}#${await packFragment(printProof(shorter))}`
}

/**
 * @param home - This page without a share: a proof in the link needs no service.
 * @param shared - The share's own link, where the page was opened by one; it makes a smaller code.
 */
export function raw(proof: Proof, verdict: Verdict, home: string, shared: string | null): HTMLElement {
  const told = words.raw
  const json = printProof(proof)
  const name = verdict.event?.id ?? 'proof'
  const pre = h('pre', { tabindex: 0, role: 'region', 'aria-label': told.region })
  const details = h('details', {}, h('summary', {}, told.json), pre)
  // A megabyte of JSON is laid out only for those who ask for it.
  details.addEventListener('toggle', () => {
    if (details.open && pre.childNodes.length === 0) pre.append(pretty(json))
  })
  const answer = h('span', { role: 'status', class: 'note' })
  const wholeLink = () => linkWith(proof, verdict, home)
  const code = h('div', {})
  const showCode = async () => {
    const link = shared ?? (await wholeLink())
    const fits = link.length <= MAX_QR_BYTES
    code.replaceChildren(fits ? qrCode(link) : h('p', { class: 'note' }, told.tooLong(link.length, MAX_QR_BYTES)))
  }
  const copyLink = async () => {
    const url = await wholeLink()
    const copied = await navigator.clipboard.writeText(url).then(
      () => true,
      () => false,
    )
    answer.textContent = copied ? told.copied(url.length) : url
  }
  return h(
    'section',
    { class: 'raw', 'aria-labelledby': 'raw-title' },
    h('h2', { id: 'raw-title' }, told.title),
    h(
      'div',
      { class: 'actions' },
      h('button', { type: 'button', onclick: () => download(json, `${name}.killick.json`) }, words.alone.save),
      h('button', { type: 'button', onclick: copyLink }, told.copyLink),
      h('button', { type: 'button', onclick: showCode }, told.qr),
      h('button', { type: 'button', onclick: () => print() }, told.print),
    ),
    answer,
    code,
    details,
  )
}
