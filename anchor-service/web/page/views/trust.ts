/** The node to ask, and what the visitor pins. The form lives until another language takes its place; only its surroundings are redrawn. */
import { KillickError, type Proof, parseJson, thumbprint } from '@killick/sdk/verify'
import { copyable, h } from '../../shared/dom.ts'
import { words } from '../../shared/language.ts'
import { refusal, refusalInWords } from '../../shared/refusal.ts'
import { said } from '../../shared/text.ts'
import { NO_PINS, type Pins, parsePins, readStored, store } from '../../shared/trust.ts'
import type { Publisher } from '../publisher.ts'

export type TrustForm = {
  readonly element: HTMLElement
  readonly pins: () => Pins
  readonly focus: () => void
  /** What stands in it, for the form of another language that takes its place. */
  readonly draft: () => Draft
  /** What the proof at hand says about itself, to compare with what was published elsewhere. */
  readonly showClaims: (proof: Proof) => void
  readonly showPublisher: (publisher: Publisher) => void
}

type Draft = {
  readonly pins: Pins
  readonly texts: readonly string[]
  readonly remembers: boolean
  readonly isOpen: boolean
}

const partsOf = (text: string) => text.split(/\s+/).filter((part) => part !== '')

function parseKeys(text: string): unknown[] {
  if (text.trim() === '') return []
  try {
    const value: unknown = parseJson(text)
    return Array.isArray(value) ? value : [value]
  } catch {
    throw refusal('key_invalid', 'source_key')
  }
}

/** @param from What stood in the form before it. */
export function trustForm(changed: (pins: Pins) => void, from?: Draft): TrustForm {
  const told = words.trust
  let pins = from?.pins ?? readStored() ?? NO_PINS
  const field = (id: string, [label, hint]: readonly [string, string], rows = 1) => {
    const input =
      rows > 1
        ? h('textarea', { id, rows, spellcheck: 'false' })
        : h('input', { id, type: 'text', spellcheck: 'false', autocomplete: 'off' })
    input.setAttribute('aria-describedby', `${id}-hint`)
    return {
      input,
      element: h(
        'p',
        { class: 'input' },
        h('label', { for: id }, label),
        input,
        h('span', { id: `${id}-hint`, class: 'note' }, hint),
      ),
    }
  }
  const node = field('rpc', told.node)
  const keys = field('source-key', told.sourceKey, 3)
  const vkey = field('log-key', told.logKey)
  const contract = field('contract', told.contract)
  const remember = h('input', { type: 'checkbox', id: 'remember' })
  const answer = h('p', { role: 'status', class: 'note' })
  const claims = h('div', { class: 'claims' })
  const publisherNote = h('p', { class: 'note' })

  const fill = (from: Pins) => {
    node.input.value = from.rpcs.join(' ')
    keys.input.value =
      from.sourceKeys.length === 0
        ? ''
        : JSON.stringify(
            from.sourceKeys.length === 1 && Object.keys(from.sourceKeys[0]!).length === 1
              ? from.sourceKeys[0]!.jwk
              : from.sourceKeys,
          )
    vkey.input.value = from.logKeys.join(' ')
    contract.input.value = from.logs.map((log) => `${log.chainId} ${log.contract} ${log.logId}`).join(' ')
  }
  const read = (): Pins => {
    const triple = partsOf(contract.input.value)
    const logs = Array.from({ length: Math.ceil(triple.length / 3) }, (_, i) => {
      const [chainId, address, logId] = triple.slice(3 * i, 3 * i + 3)
      return { chainId: Number(chainId), contract: address, logId }
    })
    return parsePins({
      rpcs: partsOf(node.input.value),
      sourceKeys: parseKeys(keys.input.value),
      logKeys: partsOf(vkey.input.value),
      logs,
    })
  }
  const use = (next: Pins, reply: string) => {
    pins = next
    answer.textContent = reply
    answer.classList.remove('bad')
    changed(pins)
  }
  const submit = (event: Event) => {
    event.preventDefault()
    try {
      const next = read()
      const kept = remember.checked && store(next)
      use(next, remember.checked ? (kept ? told.remembered : told.notKept) : told.checked)
    } catch (error) {
      if (!(error instanceof KillickError)) throw error
      answer.textContent = `${refusalInWords(error)}.`
      answer.classList.add('bad')
    }
  }
  const forget = () => {
    store(null)
    fill(NO_PINS)
    remember.checked = false
    use(NO_PINS, told.forgotten)
  }
  remember.checked = from?.remembers ?? readStored() !== null
  fill(pins)
  const inputs = [node, keys, vkey, contract].map(({ input }) => input)
  for (const [i, text] of (from?.texts ?? []).entries()) inputs[i]!.value = text

  const element = h(
    'section',
    { class: 'trust', 'aria-labelledby': 'trust-title' },
    h('h2', { id: 'trust-title' }, told.title),
    h(
      'form',
      { onsubmit: submit },
      node.element,
      publisherNote,
      h(
        'details',
        { open: from?.isOpen ?? pins.sourceKeys.length + pins.logKeys.length + pins.logs.length > 0 },
        h('summary', {}, told.pins),
        h('p', { class: 'note' }, told.pinsWhy),
        keys.element,
        vkey.element,
        contract.element,
        claims,
      ),
      h('p', {}, remember, ' ', h('label', { for: 'remember' }, told.remember)),
      h(
        'div',
        { class: 'actions' },
        h('button', { type: 'submit', class: 'primary' }, told.again),
        h('button', { type: 'button', onclick: forget }, told.forget),
      ),
      answer,
    ),
  )
  return {
    element,
    pins: () => pins,
    draft: () => ({
      ...{ pins, texts: inputs.map(({ value }) => value), remembers: remember.checked },
      isOpen: element.querySelector('details')!.open,
    }),
    focus() {
      for (const details of element.querySelectorAll('details')) details.open = true
      node.input.focus()
    },
    showPublisher(publisher) {
      const isRefused = publisher instanceof KillickError
      publisherNote.classList.toggle('bad', isRefused)
      publisherNote.replaceChildren(
        ...(isRefused
          ? [told.publisherRefused(refusalInWords(publisher))]
          : publisher
            ? told.publisher(
                said(publisher.publisher ?? words.anonymous),
                h('code', {}, publisher.rpcs.map((url) => new URL(url).host).join(', ') || told.noNode),
              )
            : []),
      )
    },
    showClaims(proof) {
      claims.replaceChildren(
        h('h3', {}, told.claims),
        h('p', { class: 'note' }, told.claimsWhy),
        ...proof.keys.map((jwk) =>
          h(
            'p',
            { class: 'hash' },
            h('span', { class: 'label' }, `${told.claimedKey} `, h('code', {}, thumbprint(jwk))),
            ' ',
            copyable(JSON.stringify(jwk), told.claimedKey),
          ),
        ),
        ...proof.anchors.map(({ chainId, contract, logId }) =>
          h(
            'p',
            { class: 'hash' },
            h('span', { class: 'label' }, told.claimedContract),
            ' ',
            copyable(`${chainId} ${contract} ${logId}`, told.claimedContract),
          ),
        ),
      )
    },
  }
}
