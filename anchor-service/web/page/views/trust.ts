/** The node to ask, and what the visitor pins. The form lives as long as the page; only its surroundings are redrawn. */
import { KillickError, type Proof, thumbprint } from '@killick/sdk/verify'
import { copyable, h } from '../../shared/dom.ts'
import { said } from '../../shared/text.ts'
import { NO_PINS, type Pins, parsePins, readStored, store } from '../../shared/trust.ts'

export type TrustForm = {
  readonly element: HTMLElement
  readonly pins: () => Pins
  readonly focus: () => void
  /** What the proof at hand says about itself, to compare with what was published elsewhere. */
  readonly showClaims: (proof: Proof) => void
  readonly showPublisher: (pins: Pins | null) => void
}

const words = (text: string) => text.split(/\s+/).filter((word) => word !== '')

function parseKeys(text: string): unknown[] {
  if (text.trim() === '') return []
  try {
    const value: unknown = JSON.parse(text)
    return Array.isArray(value) ? value : [value]
  } catch {
    throw new KillickError('key_invalid', 'A source key is a JWK: {"kty":…}')
  }
}

export function trustForm(changed: (pins: Pins) => void): TrustForm {
  let pins = readStored() ?? NO_PINS
  const field = (id: string, label: string, hint: string, rows = 1) => {
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
  const node = field(
    'rpc',
    'Node to ask (JSON-RPC)',
    'Any node of the chain will do, over https, or http on this computer. With several, separated by spaces, all are asked, and one that denies outweighs the others.',
  )
  const keys = field(
    'source-key',
    'Key of the source (JWK)',
    'As its owner publishes it. One, or several as a JSON array.',
    3,
  )
  const vkey = field('log-key', 'Key of the log (vkey)', 'name+hash+key, as its operator publishes it.')
  const contract = field('contract', 'Contract', 'Chain id, contract address and log id, separated by spaces.')
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
    const triple = words(contract.input.value)
    const logs = Array.from({ length: Math.ceil(triple.length / 3) }, (_, i) => {
      const [chainId, address, logId] = triple.slice(3 * i, 3 * i + 3)
      return { chainId, contract: address, logId }
    })
    return parsePins({
      rpcs: words(node.input.value),
      sourceKeys: parseKeys(keys.input.value),
      logKeys: words(vkey.input.value),
      logs,
    })
  }
  const use = (next: Pins, said: string) => {
    pins = next
    answer.textContent = said
    answer.classList.remove('bad')
    changed(pins)
  }
  const submit = (event: Event) => {
    event.preventDefault()
    try {
      const next = read()
      const kept = remember.checked && store(next)
      use(
        next,
        remember.checked
          ? kept
            ? 'Checked, and remembered on this device.'
            : 'Checked. This browser keeps nothing on this device.'
          : 'Checked.',
      )
    } catch (error) {
      if (!(error instanceof KillickError)) throw error
      answer.textContent = error.message
      answer.classList.add('bad')
    }
  }
  const forget = () => {
    store(null)
    fill(NO_PINS)
    remember.checked = false
    use(NO_PINS, 'Forgotten.')
  }
  remember.checked = readStored() !== null
  fill(pins)

  const element = h(
    'section',
    { class: 'trust', 'aria-labelledby': 'trust-title' },
    h('h2', { id: 'trust-title' }, 'Whom to ask, and whom to trust'),
    h(
      'form',
      { onsubmit: submit },
      node.element,
      publisherNote,
      h(
        'details',
        { open: pins !== NO_PINS && pins.sourceKeys.length + pins.logKeys.length + pins.logs.length > 0 },
        h('summary', {}, 'Pin keys and contract'),
        h(
          'p',
          { class: 'note' },
          'What you pin here goes before what the publisher of this page says. Take it from a place that you trust: a contract, a letterhead, the website of the company that recorded the event.',
        ),
        keys.element,
        vkey.element,
        contract.element,
        claims,
      ),
      h('p', {}, remember, ' ', h('label', { for: 'remember' }, 'Remember on this device')),
      h(
        'div',
        { class: 'actions' },
        h('button', { type: 'submit', class: 'primary' }, 'Check again'),
        h('button', { type: 'button', onclick: forget }, 'Forget all'),
      ),
      answer,
    ),
  )
  return {
    element,
    pins: () => pins,
    focus() {
      for (const details of element.querySelectorAll('details')) details.open = true
      node.input.focus()
    },
    showPublisher(publisher) {
      publisherNote.replaceChildren(
        ...(publisher
          ? [
              'Left empty, the node that ',
              said(publisher.publisher ?? ''),
              ' named is asked: ',
              h('code', {}, publisher.rpcs.map((url) => new URL(url).host).join(', ') || 'none'),
              '.',
            ]
          : []),
      )
    },
    showClaims(proof) {
      claims.replaceChildren(
        h('h3', {}, 'What the proof itself claims'),
        h(
          'p',
          { class: 'note' },
          'Compare it with what was published elsewhere; a forger would have put the forger’s own.',
        ),
        ...proof.keys.map((jwk) =>
          h(
            'p',
            { class: 'hash' },
            h('span', { class: 'label' }, 'source key ', h('code', {}, thumbprint(jwk))),
            ' ',
            copyable(JSON.stringify(jwk), 'source key'),
          ),
        ),
        ...proof.anchors.map(({ chainId, contract, logId }) =>
          h(
            'p',
            { class: 'hash' },
            h('span', { class: 'label' }, 'contract'),
            ' ',
            copyable(`${chainId} ${contract} ${logId}`, 'contract'),
          ),
        ),
      )
    },
  }
}
