/** What the page is for, and the ways to give it a proof. */
import { h } from '../../shared/dom.ts'

export type ProofInput = { file: (file: File) => void; text: (text: string) => void }

/** A paste of this size is refused before the browser lays it out. */
const MAX_PASTE = 1_100_000

/** @param home - Where the page's own files are. */
export function header(home: string): HTMLElement {
  return h(
    'header',
    { class: 'top' },
    h('img', { src: `${home}icon.svg`, alt: '', width: 28, height: 28 }),
    h('span', { class: 'brand' }, 'Killick'),
    h('span', { class: 'note' }, 'is this record genuine?'),
    skip('Skip to the checks', '#checks-title'),
    skip('Skip to whom to trust', '#trust-title'),
  )
}

/** Seen by those who come to it by keyboard. A button, for what stands behind # in this page's address is a proof. */
export function skip(words: string, to: string): HTMLElement {
  const go = () => {
    const goal = document.querySelector<HTMLElement>(to)
    goal?.setAttribute('tabindex', '-1')
    goal?.focus()
  }
  return h('button', { type: 'button', class: 'skip', onclick: go }, words)
}

/** File button and paste field. The whole page takes dropped files besides. */
export function intake({ file, text }: ProofInput, isFirst: boolean): HTMLElement {
  const input = h('input', { type: 'file', id: 'file', accept: '.json,application/json' })
  input.addEventListener('change', () => {
    const chosen = input.files?.[0]
    input.value = ''
    if (chosen) file(chosen)
  })
  const paste = h('textarea', {
    id: 'paste',
    rows: 3,
    spellcheck: 'false',
    autocomplete: 'off',
    placeholder: '{"format":"killick-proof/1", …}',
  })
  paste.addEventListener('paste', (event) => {
    const pasted = event.clipboardData?.getData('text') ?? ''
    if (pasted.length === 0) return
    event.preventDefault()
    if (pasted.length <= MAX_PASTE) paste.value = pasted
    text(pasted)
  })
  const check = h('button', { type: 'button', onclick: () => text(paste.value) }, 'Check this text')
  return h(
    'section',
    { class: `intake ${isFirst ? 'first' : ''}`, 'aria-labelledby': 'intake-title' },
    h('h2', { id: 'intake-title' }, isFirst ? 'Give it a proof' : 'Check another proof'),
    h('p', {}, h('label', { for: 'file' }, 'Drop a proof file anywhere on this page, or choose one: '), input),
    h('p', {}, h('label', { for: 'paste' }, 'Or paste its text:'), paste, check),
  )
}

export function welcome(): HTMLElement {
  return h(
    'section',
    { class: 'welcome' },
    h('h1', {}, 'Is this record genuine?'),
    h(
      'p',
      {},
      'A Killick proof shows that something was recorded, by whom and when, and that nobody changed it since: not even the company that keeps the ledger. This page checks it inside your browser. Nothing is sent anywhere, except questions about the anchor, six or so for each, to a blockchain node that you choose, or that whoever published this page has named.',
    ),
  )
}
