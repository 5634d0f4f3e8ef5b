/** How to check the same without this page, and without whoever published it. */
import { type PinnedKey, type Proof, printProof, type Trust, type Verdict } from '@killick/sdk/verify'
import { copyable, h } from '../../shared/dom.ts'
import { words } from '../../shared/language.ts'
import type { By } from '../../shared/trust.ts'
import { download } from './raw.ts'

/** One word of a command line. */
const quote = (word: string) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`)

/** A key, with the time in which it counts where that has an end. */
const keyOf = ({ jwk, notBefore, notAfter }: PinnedKey) =>
  notBefore === undefined && notAfter === undefined ? jwk : { jwk, notBefore, notAfter }

/** The command that makes the same check, with what is pinned here filled in. Pure. */
export function commandFor(
  file: string,
  { sourceKeys = [], logKeys = [], logs = [], rpcs, confirmations }: Trust & { rpcs: readonly string[] },
  proof: Proof,
  source: string | undefined,
): string {
  const isMine = (pin: { source?: string | undefined }) => pin.source === undefined || pin.source === source
  const log =
    logs.find(({ chainId, contract, logId }) =>
      proof.anchors.some((a) => a.chainId === chainId && a.contract === contract && a.logId === logId),
    ) ?? logs[0]
  return [
    // Whoever checks has nothing installed, and under the command's own name anybody may publish a package.
    ...['npx', '-p', '@killick/sdk', 'killick', 'verify', file],
    ...rpcs.flatMap((url) => ['--rpc', new URL(url).href]),
    ...(log ? ['--contract', log.contract, '--log-id', log.logId, '--chain-id', String(log.chainId)] : []),
    ...logKeys.flatMap((vkey) => ['--log-key', vkey]),
    ...sourceKeys
      .filter(isMine)
      .flatMap((pin) => ['--source-key', `${source === undefined ? '' : `${source}=`}${JSON.stringify(keyOf(pin))}`]),
    ...(confirmations === undefined ? [] : ['--confirmations', String(confirmations)]),
  ]
    .map(quote)
    .join(' ')
}

/** @param home - Where the page's own files are. */
export function alone(
  pins: Trust & { rpcs: readonly string[] },
  proof: Proof,
  verdict: Verdict,
  home: string,
  by: By,
): HTMLElement {
  const told = words.alone
  const file = `${verdict.event?.id ?? 'proof'}.killick.json`
  const save = h('button', { type: 'button', onclick: () => download(printProof(proof), file) }, told.save)
  const missing = Object.entries({
    sourceKeys: '--source-key',
    logKeys: '--log-key',
    logs: '--contract --log-id',
  })
    .filter(([kind]) => by[kind as keyof By] === 'nobody')
    .map(([, option]) => option)
  return h(
    'section',
    { class: 'alone', 'aria-labelledby': 'alone-title' },
    h('h2', { id: 'alone-title' }, told.title),
    h('p', {}, told.text),
    h('p', { class: 'command' }, copyable(commandFor(file, pins, proof, verdict.event?.source), told.command)),
    missing.length > 0 && h('p', { class: 'note' }, ...told.nobody(h('code', {}, missing.join(' ')))),
    Object.values(by).includes('publisher') && h('p', { class: 'note' }, told.publisher),
    h(
      'div',
      { class: 'actions' },
      save,
      h('a', { href: `${home}protocol.txt`, target: '_blank', rel: 'noopener' }, told.protocol),
    ),
  )
}
