/**
 * English, and with it the list of everything that page and console have to say: another language is an object of the same type.
 * A sentence with parts of its own (names, marks) is a list of them, in the order of the language.
 */
import type { NoAnswer, Unreadable } from '@killick/sdk/verify'
import { english } from '@killick/sdk/words'
import type { CollectedFrom } from './collected.ts'
import { printer, upToTenth } from './print.ts'

const { time, number, list } = printer('en-GB')

const count = (n: number, one: string, many = `${one}s`): string => `${number(n)} ${n === 1 ? one : many}`
/** A headline and its reason, or a label and its hint. */
const pair = (first: string, second: string): readonly [string, string] => [first, second]
/** "Example Ltd’s" */
const possessive = (name: string): string => `${name}’${/s$/i.test(name) ? '' : 's'}`

const SHOWN_BY: Record<CollectedFrom['auth'], string> = {
  key: 'with a key',
  certificate: 'with a certificate',
  socket: 'on its own machine',
  hmac: 'with a shared secret',
  file: 'in a file',
  none: 'without showing who it is',
}

const CHAINS: Record<number, string> = {
  1: 'Ethereum',
  10: 'OP Mainnet',
  137: 'Polygon',
  8453: 'Base',
  42161: 'Arbitrum One',
  11155111: 'the Sepolia test network',
  560048: 'the Hoodi test network',
}

export const ENGLISH = {
  tag: 'en',
  /** What the language is called in itself. */
  name: 'English',
  time,
  number,
  list,
  verdict: english({ time, number }),
  chain: (id: number, isLocal: boolean): string => (isLocal ? 'a local test chain' : (CHAINS[id] ?? `chain ${id}`)),
  rungs: {
    pinned: 'pinned by you',
    word: (whose: string) => `on ${possessive(whose)} word`,
    unchecked: 'not checked',
  },
  outcomes: {
    success: 'Succeeded',
    failure: 'Failed',
    denied: 'Denied',
    hidden: 'Outcome not shown',
    none: 'No outcome recorded',
  },
  /** Who published a page that does not say. */
  anonymous: 'whoever made this page',
  /** What a parser refused; others than English go by the code. */
  parser: ({ message }: Unreadable): string => message.replace(/\.$/, ''),
  /** What the page itself refuses. */
  refusals: {
    empty: 'There is nothing in it',
    file_size: (mebibytes: number) =>
      `The proof is larger than 1 MiB. This file has ${number(upToTenth(mebibytes))} MiB`,
    file_gone: 'The file could not be read: it is a folder, or it was moved or changed. Choose it again',
    exported:
      'This is an export of events, each line with a proof of its own, and this page checks one proof at a time. This command checks all lines: npx -p @killick/sdk killick verify <file> --trust trust.json',
    many_files: 'These are several files, and a verdict is on one. Choose one at a time',
    link_cut: 'The link is cut off or was changed: its end is not base64url',
    link_changed: 'The link is cut off or was changed: what it holds cannot be unpacked',
    pinned_log:
      'A contract is pinned by its chain id, its address (0x and 40 digits) and the log id (0x and 64 digits)',
    node_url: 'An RPC endpoint is an http or https URL',
    source_key: 'A source key is a JWK: {"kty":…}',
  },
  /** Why a node gave no answer; `said` is that in English. */
  silence: (said: string, _fault: NoAnswer | null): string => said,
  summary: {
    genuine: (isPartial: boolean, undone: 'denied' | 'failure' | null) =>
      `${isPartial ? 'What is shown' : 'This record'} is genuine${undone === null ? '' : `: a ${undone === 'denied' ? 'denied' : 'failed'} action`}`,
    /** `chain`: null where somebody can rewrite it, so that nobody can say that nothing was changed. */
    exactly: (isPartial: boolean, chain: string | null) =>
      `${isPartial ? 'What is shown' : 'It'} is exactly what was recorded${chain === null ? '' : `, and nobody has changed it since ${chain} holds it`}.`,
    /** @param isLogged - Whether a pinned key of the log has signed its checkpoint. */
    notAnchored: (isLogged: boolean) =>
      pair(
        'Not anchored yet',
        isLogged
          ? 'It is signed and stands in the log, but no chain holds the log’s root yet: until then the operator could still replace it. Ask for a new proof later.'
          : 'It is signed, but no chain holds the root of its log yet, and no key of the log is pinned here: anyone could have made its keys and its log. Ask for a new proof later.',
      ),
    asking: 'Asking the chain…',
    waitingFor: (nodes: readonly string[]) => `Waiting for ${list(nodes)}.`,
    notAsked: 'The chain was not asked',
    notAskedWhy: (chain: string) =>
      `The signatures hold. Whether ${chain} holds the anchor is not known: name a node to ask, below.`,
    unreachable: 'Could not check with the chain',
    unreachableWhy: (node: string | null, silence: string | null) =>
      `${node ?? 'The node'} gave no answer: ${silence ?? 'nothing'}. Nothing is known to be wrong; try again, or ask another node.`,
    notPinned: 'Holds together, but whose keys are these?',
    notPinnedWhy: (chain: string, missing: readonly string[]) =>
      `Nothing was altered since it was signed, and ${chain} holds its anchor. But anyone can make keys: to tell that it is genuine, it lacks ${list(missing)}.`,
    notFinal: pair(
      'Genuine so far, and not final yet',
      'The chain holds the anchor, but so recently that its block could still be replaced. Check again in some minutes.',
    ),
    partly: 'Genuine, as far as could be checked',
    partlyWhy: (open: number, first: string) => `${count(open, 'check')} could not be made: ${first}.`,
    failed: (reason: string, detail: string) => `${reason} ${detail}.`,
    caveats: {
      missing: (n: number) =>
        `By the word of this proof alone, the ledger no longer holds ${count(n, 'field')} of this event: somebody has taken ${n === 1 ? 'it' : 'them'} out.`,
      before: (recordedAt: string, after: string) =>
        `It claims to be recorded at ${time(recordedAt)}, but was not yet in the log as anchored at ${time(after)}.`,
      after: (by: string) => `It claims a time after ${time(by)}, when it was in the log already.`,
      keys: (n: number, source: string | null) =>
        `The log has registered ${number(n)} keys for ${source ?? 'this source'}; which, and since when, is told below.`,
      pinTime: 'Whether the key was used within the time for which it was pinned cannot be told.',
      testChain: (chain: string) =>
        `The anchor is on ${chain}, and whoever runs that chain can rewrite it: good for trying this out, no proof to anyone else.`,
    },
  },
  /** Headline and reason where a check failed. */
  failures: {
    form: pair('This record was altered', 'What it says is not what was signed and recorded.'),
    signature: pair(
      'This record was altered',
      'The signature of the system that is said to have recorded it does not fit.',
    ),
    inclusion: pair(
      'This record was altered',
      'It does not stand where it claims to, among the events it was recorded with.',
    ),
    key: pair('Signed by the wrong key', 'The key that signed is not one of those pinned for this source.'),
    log: pair(
      'This record does not belong to this log',
      'The path does not lead from the record to the root of the log.',
    ),
    checkpoint: pair('The log did not sign this', 'The checkpoint of the log is not signed by a key pinned for it.'),
    registration: pair(
      'The key was not registered when it was used',
      'What the log says of the key that signed does not hold, or came only after it was used.',
    ),
    before: pair(
      'The time of this record does not hold',
      'The anchor that it names as the one before is none, or covers it.',
    ),
    path: pair(
      'The anchor does not cover this record',
      'The path does not lead from the record to the root that was anchored.',
    ),
    contract: pair(
      'The chain does not hold this anchor',
      'It is forged, or its block was reorganised away. If it was anchored minutes ago, ask for a fresh proof.',
    ),
    block: pair(
      'The block is not the one that this proof names',
      'The block was reorganised, or the proof was altered. Ask for a fresh proof.',
    ),
    place: pair('Anchored in the wrong place', 'Contract, chain or log are not the ones that were pinned.'),
    other: pair('This record is not genuine', 'A check failed.'),
  },
  banner: {
    claim: ' This shows who said so and when, not that it is so.',
    undone: <P>(outcome: 'denied' | 'failure', source: P): (P | string)[] => [
      source,
      ` recorded that ${outcome === 'denied' ? 'this was refused' : 'this did not succeed'}: somebody tried, and it was not done.`,
    ],
    hidden: 'Whether it succeeded is not shown: it may have failed, or been denied.',
    toTrust: 'Choose whom to ask and trust',
    spoken: (headline: string, ending: string, reason: string, caveats: readonly string[]) =>
      `${headline}. ${ending === '' ? '' : `${ending}. `}${reason} ${caveats.join(' ')}`,
  },
  facts: {
    title: 'What was recorded',
    claims: 'What it claims, and what must not be believed',
    unreadable: 'What this proof says cannot be read, because it does not match what was signed.',
    hidden: 'not shown in this proof',
    /** Of what is absent where the log explains each absent field: by an order, or by a policy. */
    gone: 'not held any more, or never recorded',
    sealed: 'somebody or something whose name is sealed',
    what: 'What',
    tried: 'Tried',
    notDone: ' and not done',
    outcome: 'Outcome',
    who: 'Who',
    target: 'To what',
    noTarget: 'nothing in particular',
    recordedBy: 'Recorded by',
    inLog: ' in the log ',
    onBehalfOf: 'On behalf of',
    handedIn: <P>(emitter: P, auth: CollectedFrom['auth']): (P | string)[] => [
      ', handed in by ',
      emitter,
      ` ${SHOWN_BY[auth]}; the collector signed, they did not`,
    ],
    happened: 'Said to have happened',
    says: <P>(source: P): (P | string)[] => [' as ', source, ' says'],
    recorded: 'Recorded',
    clockOf: ' by the clock of ',
    notYet: 'Not yet in the log',
    asAnchored: ' as anchored then',
    inLogBy: 'In the log by',
    claimsAnchor: 'Claims an anchor',
    inBlock: (block: number, chain: string) => ` in block ${block} of ${chain}`,
    notShown: 'Not shown',
    hiddenFields: (n: number) => `${count(n, 'field')} that this proof does not show`,
    lost: 'Lost',
    lostFields: (n: number) => `${count(n, 'field')} that the ledger no longer holds, as this proof says`,
    erased: 'Erased',
    erasedFields: (n: number, at: string, order: string | null) =>
      `${count(n, 'field')}, on ${time(at)}${order === null ? '' : `, by order ${order}`}`,
    expired: 'Expired',
    expiredFields: (n: number, at: string, policy: string) =>
      `${count(n, 'field')}, on ${time(at)}, by policy ${policy}`,
    keyRegistered: 'Key registered',
    registration: (entry: number, anchoredAt: string | null, notBefore: string | null, notAfter: string | null) =>
      [
        `at log entry ${number(entry)}`,
        ...(anchoredAt === null ? [] : [`anchored since ${time(anchoredAt)}`]),
        ...(notBefore === null ? [] : [`for use from ${time(notBefore)}`]),
        ...(notAfter === null ? [] : [`for use until ${time(notAfter)}`]),
      ].join(', '),
    more: (n: number) => `and ${number(n)} more`,
  },
  standing: {
    title: 'What this rests on',
    kinds: {
      sourceKeys: 'which key is the source’s',
      logKeys: 'which key is the log’s',
      logs: 'which contract and log to look in',
    },
    pinned: (kinds: readonly string[]) => `Pinned by you: ${list(kinds)}.`,
    publisher: <P>(who: P, host: string, kinds: readonly string[]): (P | string)[] => [
      'On the word of ',
      who,
      `, who published this page${host === '' ? '' : ` at ${host}`}: ${list(kinds)}. Pin what you know from elsewhere, below, and it is no longer.`,
    ],
    log: <P>(log: P, source: P): (P | string)[] => [
      'On the word of the log ',
      log,
      ', which took it in under this name: that the key is one of ',
      source,
      '.',
    ],
    restsOn: (what: string) => `It rests on ${what}.`,
    nodes: <P>(nodes: P, requests: number): (P | string)[] => [
      'The chain was asked through ',
      nodes,
      `${requests > 0 ? ` in ${count(requests, 'request')}` : ''}. A node could lie about it: ask another one to be sure.`,
    ],
    meaning: <P>(genuine: (word: string) => P): (P | string)[] => [
      'That it is ',
      genuine('genuine'),
      ' means: this was signed under that name, by that time, and stands unchanged. It does not mean that what was said is true.',
    ],
  },
  record: {
    title: 'The rest of the record',
    nothing: 'nothing',
    empty: 'empty',
    sealed: (key: string) => `sealed: only who holds key ${key} can read it, unless it was erased`,
    changes: 'Changes',
    moreChanges: 'More changes',
    columns: ['Changed', 'Before', 'After'],
  },
  text: {
    unseen: 'a character that is not drawn',
    longer: (n: number) => ` … ${number(n)} characters more`,
    mixes: (alphabets: readonly ('Latin' | 'Greek' | 'Cyrillic')[]) => `mixes ${list(alphabets)} letters`,
  },
  copy: {
    copy: (what: string) => `Copy ${what}`,
    copied: (what: string) => `Copied ${what}`,
    refused: 'The browser does not allow copying here',
  },
  header: {
    question: 'is this record genuine?',
    toChecks: 'Skip to the checks',
    toTrust: 'Skip to whom to trust',
    language: 'Language',
    noWords: (name: string) => `${name} could not be loaded.`,
  },
  intake: {
    first: 'Give it a proof',
    another: 'Check another proof',
    file: 'Drop a proof or a bundle anywhere on this page, or choose a file: ',
    paste: 'Or paste its text:',
    check: 'Check this text',
    noBundles: 'The part of this page that checks bundles could not be loaded.',
  },
  welcome: {
    title: 'Is this record genuine?',
    text: 'A Killick proof shows that something was recorded, by whom and when, and that nobody changed it since: not even the company that keeps the ledger. This page checks it inside your browser. Nothing is sent anywhere, except questions about the anchor, six or so for each, to a blockchain node that you choose, or that whoever published this page has named.',
  },
  refused: {
    input: 'This is not a proof that can be read',
    inputWhy: (why: string, code: string) => `${why} (${code}). Nothing was checked.`,
    links: {
      revoked: pair(
        'This link was revoked',
        'Whoever shared it has withdrawn it. That says nothing about what it showed: ask them for a new link, or for the proof as a file.',
      ),
      expired: pair(
        'This link has expired',
        'It was made to last until a certain day. That says nothing about what it showed: ask for a new link, or for the proof as a file.',
      ),
      dropped: pair(
        'The event behind this link is no longer kept',
        'Its time was over: the ledger has dropped it, by a retention policy in its log. This says nothing about what it showed. A proof that was made before can still be checked here, as a file.',
      ),
      altered: pair(
        'The event behind this link cannot be read',
        'What the service holds of it is not what was accepted: somebody has altered it there. A proof that was made before, as a file, can still be checked here.',
      ),
      unknown: pair(
        'This link leads nowhere',
        'No such link exists here. It may have been cut off when it was copied.',
      ),
      limited: pair(
        'Too many attempts',
        'The service is asked too often from your network. Wait a minute, and open the link again.',
      ),
      unreachable: pair(
        'The service could not be reached',
        'The proof behind this link could not be fetched. A proof that you have as a file can be checked here without the service.',
      ),
    },
  },
  alone: {
    title: 'Check it without us',
    text: 'You need not believe this page. Save the proof, and let a program on your own computer check it, with any node of the chain:',
    command: 'command',
    nobody: <P>(options: P): (P | string)[] => [
      'Nobody has said here what to pin for ',
      options,
      ': add it from a place that you trust.',
    ],
    publisher: 'Keys and addresses in it are the publisher’s word: put those in that you have from elsewhere.',
    save: 'Save the proof',
    protocol: 'How it is checked: the protocol',
  },
  checks: {
    title: (n: number) => count(n, 'check'),
    /** Titles in place of those that speak of what the reader trusts, where the publisher of the page says it. */
    named: {
      'source.key': 'The source’s key is one that the publisher of this page names',
      'log.signature': 'The log signed its checkpoint, with a key that the publisher of this page names',
      'anchor.log': 'Contract and log are the ones that the publisher of this page names',
    },
    source: 'Signed by the source',
    log: 'In the log',
    chain: 'Anchored on the chain',
    passed: 'passed',
    failed: 'failed',
    skipped: 'not checked',
    tally: (failed: number, passed: number, skipped: number) =>
      [
        ...(failed > 0 ? [`${number(failed)} failed`] : []),
        `${number(passed)} passed`,
        ...(skipped > 0 ? [`${number(skipped)} not checked`] : []),
      ].join(', '),
  },
  tamper: {
    title: 'Try to cheat',
    text: 'Change a single character of this proof, on this page only, and see whether it is noticed, and where.',
    in: 'In ',
    change: 'Change one character',
    restore: 'Put it back',
    was: 'was',
    now: 'now',
    places: {
      time: 'when it was recorded',
      source: 'who recorded it',
      signature: 'the signature of the event',
      batchPath: 'a hash on the way to the batch root',
      header: 'the signed header of the batch',
      logPath: 'a hash on the way to the log root',
      checkpoint: 'the root in the log’s checkpoint',
      anchorRoot: 'the root on the chain',
      anchorTime: 'the time of the anchor',
    },
    field: (name: string) => `what it says: ${name}`,
  },
  path: {
    title: 'From the event to the block',
    text: 'Each hash is computed here from the one above it. Change anything, and every hash below changes.',
    skip: 'Skip the hashes',
    passed: 'holds',
    failed: 'breaks here',
    skipped: 'not checked',
    left: 'with its neighbour on the left',
    right: 'with its neighbour on the right',
    gives: 'gives',
    neighbour: 'neighbour hash',
    both: 'hash of both',
    fields: 'What it says',
    fieldsShown: (shown: number, hidden: number) =>
      `${count(shown, 'field')} shown${hidden > 0 ? `, ${number(hidden)} not shown` : ''}`,
    unmatched: 'It does not match what was signed',
    event: 'Event',
    eventAt: (seq: number, stream: string, source: string) => `Number ${number(seq)} in stream ${stream} of ${source}`,
    signedPart: 'Its signed part',
    batch: 'Batch root',
    batchOf: (events: number, index: number) => `Over ${count(events, 'event')}, this one at place ${number(index)}`,
    noHeader: 'The header cannot be read',
    entry: 'Batch header',
    signedBy: (source: string) => `Signed by ${source}`,
    unreadable: 'Cannot be read',
    log: 'Log root',
    logOf: (origin: string, size: number) => `${origin}, ${count(size, 'entry', 'entries')}`,
    block: (block: number) => `Block ${block}`,
    noBlock: 'No block yet',
    noBlockWhy: 'The log’s root is not on a chain yet',
    hashes: {
      leaf: 'leaf hash',
      root: 'root',
      anchored: 'anchored root',
      transaction: 'transaction',
      contract: 'contract',
      logId: 'log id',
    },
  },
  trust: {
    title: 'Whom to ask, and whom to trust',
    node: pair(
      'Node to ask (JSON-RPC)',
      'Any node of the chain will do, over https, or http on this computer. With several, separated by spaces, all are asked, and one that denies outweighs the others.',
    ),
    pins: 'Pin keys and contract',
    pinsWhy:
      'What you pin here goes before what the publisher of this page says. Take it from a place that you trust: a contract, a letterhead, the website of the company that recorded the event.',
    sourceKey: pair('Key of the source (JWK)', 'As its owner publishes it. One, or several as a JSON array.'),
    logKey: pair('Key of the log (vkey)', 'name+hash+key, as its operator publishes it.'),
    contract: pair('Contract', 'Chain id, contract address and log id, separated by spaces.'),
    remember: 'Remember on this device',
    again: 'Check again',
    forget: 'Forget all',
    checked: 'Checked.',
    remembered: 'Checked, and remembered on this device.',
    notKept: 'Checked. This browser keeps nothing on this device.',
    forgotten: 'Forgotten.',
    publisher: <P>(who: P, nodes: P): (P | string)[] => [
      'Left empty, the node that ',
      who,
      ' named is asked: ',
      nodes,
      '.',
    ],
    publisherRefused: (why: string) =>
      `What the publisher of this page says about keys and contract cannot be taken, so none of it counts: ${why}.`,
    noNode: 'none',
    claims: 'What the proof itself claims',
    claimsWhy: 'Compare it with what was published elsewhere; a forger would have put the forger’s own.',
    claimedKey: 'source key',
    claimedContract: 'contract',
  },
  raw: {
    title: 'Take it with you',
    json: 'The proof as JSON',
    region: 'Proof as JSON',
    copyLink: 'Copy a link that holds the proof',
    qr: 'Show as QR code',
    print: 'Print',
    tooLong: (length: number, most: number) => `The link has ${length} characters; a QR code holds ${most}.`,
    copied: (length: number) => `Copied. The link has ${number(length)} characters and needs no server.`,
    qrCode: 'The link as a QR code',
  },
  paper: {
    title: 'Check it again',
    event: 'Event',
    printed: 'Checked in a browser, and printed',
    atSomeTime: 'at an unknown time',
    at: (iso: string) => time(iso),
    link: 'Link ',
    note: 'Paper proves nothing by itself: open the link or scan the code to check it again.',
    tooLong: 'The link is too long for a QR code.',
  },
}
