import { readFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { GERMAN } from '../../anchor-service/web/page/german.ts'
import { collectedFrom } from '../../anchor-service/web/shared/collected.ts'
import { ENGLISH } from '../../anchor-service/web/shared/english.ts'
import { type Asked, summarize as judge, type Word } from '../../anchor-service/web/shared/summary.ts'
import { mixedAlphabets, visibleParts } from '../../anchor-service/web/shared/unseen.ts'
import type { AnchorFact, Check, Proof, Verdict } from '../../sdk/src/verify/index.ts'

const IDS = [
  ...[
    'event.form',
    'event.signature',
    'batch.signature',
    'batch.inclusion',
    'source.key',
    'log.inclusion',
    'log.signature',
  ],
  ...['path', 'contract', 'block', 'final', 'log'].map((name) => `anchor.0.${name}`),
]
const REFUSAL = { code: 'event_malformed', message: 'why' } as const
/** Why each of them might not pass. */
const FAULTS: Record<string, Pick<Check, 'reason' | 'values'>> = {
  'event.form': { reason: 'malformed', values: REFUSAL },
  'event.signature': { reason: 'signature_invalid', values: { kid: 'a' } },
  'batch.signature': { reason: 'signature_invalid', values: { kid: 'a' } },
  'batch.inclusion': { reason: 'path_invalid', values: {} },
  'source.key': { reason: 'pin_mismatch', values: { source: 'billing-api' } },
  'log.inclusion': { reason: 'path_invalid', values: {} },
  'log.signature': { reason: 'pin_mismatch', values: { origin: 'ledger.example.com', signed: false } },
  path: { reason: 'path_invalid', values: { same: false } },
  contract: { reason: 'not_held', values: {} },
  block: { reason: 'block_mismatch', values: { block: 7 } },
  final: { reason: 'not_final', values: { confirmations: 1, needed: 12 } },
  log: { reason: 'pin_mismatch', values: {} },
}
const made = (id: string, status: Check['status']) =>
  ({
    ...{ id, status },
    ...(status === 'passed' ? { reason: 'ok', values: {} } : FAULTS[id.replace(/^anchor\.\d+\./, '')]),
  }) as Check

const proof = {
  event: 'signed.by.source~',
  log: { origin: 'ledger.example.com' },
  anchors: [{ chainId: 1, size: 5 }],
} as unknown as Proof
const YOU: Word = { by: { sourceKeys: 'you', logKeys: 'you', logs: 'you' } }
const summarize = (v: Verdict, p: Proof, how: Asked, word = YOU) => judge(v, p, how, word)
const asked: Asked = {
  nodes: ['node.example'],
  asking: false,
  facts: [{ node: 'node.example', anchored: true } as AnchorFact],
}

/** A verdict in which everything passed, but for what is named. */
function verdict(others: Partial<Record<string, Check['status']>> = {}): Verdict {
  const checks = IDS.map((id) => made(id, others[id] ?? 'passed'))
  const failed = checks.some(({ status }) => status === 'failed')
  const level = others['anchor.0.final'] ? 'anchored' : 'final'
  return {
    outcome: failed ? 'failed' : 'verified',
    level,
    checks,
    restsOn: [],
    missing: [],
    event: null,
    times: null,
    registrations: [],
    anchoredAt: null,
  }
}

describe('what a verdict comes to', () => {
  test('is green when everything was checked, and pinned by the reader', () => {
    const summary = summarize(verdict(), proof, asked)
    expect(summary).toMatchObject({ tone: 'good', state: 'genuine', rung: { name: 'pinned', words: 'pinned by you' } })
  })

  test('is on somebody’s word, and not green, where any pin is not the reader’s own', () => {
    for (const kind of ['sourceKeys', 'logKeys', 'logs'] as const) {
      const word: Word = { by: { ...YOU.by, [kind]: 'publisher' }, publisher: 'Example Ltd' }
      const summary = summarize(verdict(), proof, asked, word)
      expect(summary, kind).toMatchObject({ tone: 'word', rung: { name: 'word', words: 'on Example Ltd’s word' } })
    }
  })

  test('is on the log’s word where log and contract are pinned and the source’s key is not', () => {
    const word: Word = { by: { ...YOU.by, sourceKeys: 'nobody' } }
    const summary = summarize({ ...verdict({ 'source.key': 'skipped' }), outcome: 'undecided' }, proof, asked, word)
    expect(summary).toMatchObject({ tone: 'word', rung: { words: 'on ledger.example.com’s word' } })
  })

  test.each(['logKeys', 'logs'] as const)('is not checked where nobody pinned %s, whatever the checks say', (kind) => {
    const word: Word = { by: { ...YOU.by, [kind]: 'nobody' } }
    for (const outcome of ['undecided', 'verified'] as const) {
      const summary = summarize({ ...verdict(), outcome }, proof, asked, word)
      expect(summary).toMatchObject({ tone: 'open', state: 'not-pinned', rung: { name: 'unchecked' } })
    }
  })

  test('a chain that somebody can rewrite is told beside the headline, and takes the promise back', () => {
    const local = { ...proof, anchors: [{ chainId: 31337, size: 5 }] } as unknown as Proof
    const [real, tried] = [summarize(verdict(), proof, asked), summarize(verdict(), local, asked)]
    expect(real).toMatchObject({ caveats: [] })
    expect(real.reason).toContain('nobody has changed it')
    expect(tried.caveats.join()).toContain('can rewrite it')
    expect(tried.reason).not.toContain('nobody has changed')
  })

  test('what the ledger lost, a time that cannot be and a second key are told beside the headline', () => {
    const said = (part: Partial<Verdict>) => summarize({ ...verdict(), ...part }, proof, asked).caveats.join()
    const event = (missingFields: number) =>
      ({ fields: {}, hiddenFields: 3, missingFields }) as unknown as Verdict['event']
    expect(said({ event: event(0) })).toBe('')
    expect(said({ event: event(3) })).toContain(
      'By the word of this proof alone, the ledger no longer holds 3 fields of this event',
    )
    const times = {
      recordedAt: '2026-01-01T00:00:00.000Z',
      after: '2026-03-01T00:00:00.000Z',
      by: '2026-03-02T00:00:00.000Z',
      toleranceMs: 3_600_000,
    }
    expect(said({ times: { ...times, outside: null } })).toBe('')
    expect(said({ times: { ...times, outside: 'before' } })).toContain('not yet in the log as anchored at 1 March 2026')
    expect(said({ times: { ...times, outside: 'after' } })).toContain('after 2 March 2026')
    const word = { logIndex: 4, kid: 'a', notBefore: null, notAfter: null, anchoredAt: null }
    expect(said({ registrations: [word, word] })).toBe('')
    expect(said({ registrations: [word, { ...word, kid: 'b' }] })).toContain('registered 2 keys')
  })

  test.each([
    [{ outcome: 'denied' }, 0, 'This record is genuine: a denied action'],
    [{ outcome: 'failure' }, 0, 'This record is genuine: a failed action'],
    [{ outcome: 'denied' }, 3, 'What is shown is genuine: a denied action'],
    [{ outcome: 'success' }, 0, 'This record is genuine'],
    [{}, 2, 'What is shown is genuine'],
  ])('with %j and %i fields hidden, it reads so', (fields, hiddenFields, headline) => {
    const event = { fields, hiddenFields } as unknown as Verdict['event']
    expect(summarize({ ...verdict(), event }, proof, asked).headline).toBe(headline)
  })

  test.each(IDS)('is not green when %s was not checked', (id) => {
    expect(summarize(verdict({ [id]: 'skipped' }), proof, asked).tone).not.toBe('good')
  })

  test.each(IDS.filter((id) => id !== 'anchor.0.final'))('is red when %s failed, whatever else', (id) => {
    for (const state of [asked, { ...asked, asking: true }, { nodes: [], asking: false, facts: [] }]) {
      const summary = summarize(
        verdict({ [id]: 'failed', 'source.key': id === 'source.key' ? 'failed' : 'skipped' }),
        proof,
        state,
      )
      expect(summary.tone).toBe('bad')
      expect(summary.state).not.toBe('failed')
    }
  })

  test('of two anchors, one that was checked through is enough; what is said of the other is told, not hidden', () => {
    const one = verdict()
    const other = ['path', 'contract', 'block', 'final', 'log'].map((name) =>
      made(`anchor.1.${name}`, name === 'path' ? 'passed' : 'skipped'),
    )
    expect(summarize({ ...one, checks: [...one.checks, ...other] }, proof, asked).tone).toBe('good')
    const failed = other.map(({ id }) => made(id, 'failed'))
    expect(summarize({ ...one, outcome: 'failed', checks: [...one.checks, ...failed] }, proof, asked).tone).toBe('bad')
  })

  test.each([
    ['asking', { ...asked, asking: true, facts: [] }],
    ['not-asked', { nodes: [], asking: false, facts: [] }],
    ['unreachable', { ...asked, facts: [{ node: 'node.example', unreadable: 'no answer' } as AnchorFact] }],
  ] satisfies [string, Asked][])('says that it is %s', (state, how) => {
    expect(summarize({ ...verdict(), outcome: 'undecided' }, proof, how).state).toBe(state)
  })

  test('nobody says that the chain holds the anchor where a node has answered about an earlier one alone', () => {
    const unasked = { status: 'skipped', reason: 'node_unreadable', values: { node: 'node.example', said: 'it lags' } }
    const checks = verdict().checks.map((check) =>
      /^anchor\.0\.(contract|block|final)$/.test(check.id) ? { ...check, ...unasked } : check,
    ) as Check[]
    const lags: Verdict = { ...verdict(), outcome: 'undecided', level: 'logged', checks, missing: ['chain'] }
    const facts = [
      { node: 'node.example', unreadable: 'it lags' },
      { node: 'node.example', anchored: true },
    ] as AnchorFact[]
    const summary = summarize(lags, proof, { ...asked, facts })
    expect(summary).toMatchObject({ tone: 'open', state: 'unreachable' })
    expect(`${summary.headline} ${summary.reason}`).not.toContain('holds its anchor')
    expect(summary.reason).toContain('node.example gave no answer: it lags')
  })
})

describe('an event that a collector recorded', () => {
  const collected = { by: 'edge-1', emitter: 'payroll-app', auth: 'key', source: 'payroll', via: 'json', id: '1' }
  const of = (fields: object, source = 'edge-1') => collectedFrom({ source, fields } as never)

  test('names whom it was recorded for, how that was known, and who signed', () => {
    const from = of({ collected })
    expect(from).toEqual({ source: 'payroll', emitter: 'payroll-app', auth: 'key' })
    expect(ENGLISH.facts.handedIn(from!.emitter, from!.auth).join('')).toBe(
      ', handed in by payroll-app with a key; the collector signed, they did not',
    )
  })

  test('says nothing of it where another source claims to have collected it, or where it cannot be read', () => {
    expect(of({ collected }, 'payroll')).toBeNull()
    for (const broken of [undefined, null, 7, {}, { ...collected, auth: 'toString' }, { ...collected, emitter: 1 }])
      expect(of({ collected: broken })).toBeNull()
  })
})

describe('text of others', () => {
  test('characters that cannot be seen are shown by number, and nothing is lost', () => {
    const shown = visibleParts('pay\u202egnp\u200b.exe\u00a0\u0000')
    expect(shown.filter(({ unseen }) => unseen).map(({ text }) => text)).toEqual([
      'U+202E',
      'U+200B',
      'U+00A0',
      'U+0000',
    ])
    expect(shown.filter(({ unseen }) => !unseen).map(({ text }) => text)).toEqual(['pay', 'gnp', '.exe'])
    for (const plain of ['Zoë 李 ünï', 'I \u2764\ufe0f it', '1\ufe0f\u20e3', 'e\u0301', 'हिन्दी'])
      expect(visibleParts(plain)).toEqual([{ text: plain, unseen: false }])
  })

  test.each(['034f', '17b4', '180b', '2065', 'fe00', 'fe0f', 'e0100', '3164', 'ffa0', '2800'])(
    'two names that differ in nothing but U+%s do not look the same',
    (code) => {
      const name = `admin${String.fromCodePoint(Number.parseInt(code, 16))}`
      expect(visibleParts(name)).toEqual([
        { text: 'admin', unseen: false },
        { text: `U+${code.toUpperCase()}`, unseen: true },
      ])
    },
  )

  test('what cannot be seen is found in the middle, too', () => {
    expect(visibleParts('ad\u034fmin').map(({ text }) => text)).toEqual(['ad', 'U+034F', 'min'])
  })

  test('marks are not piled up over what stands above', () => {
    const piled = `Z${'\u0301'.repeat(40)}oe`
    const drawn = visibleParts(piled).filter(({ unseen }) => !unseen)
    expect(drawn.map(({ text }) => text)).toEqual([`Z${'\u0301'.repeat(6)}`, 'oe'])
    expect(visibleParts(piled)).toHaveLength(36)
    // Hebrew with a dot, a vowel and an accent; Burmese with five marks; Vietnamese, Thai and Tibetan.
    for (const name of ['שּׁ֖', 'မြှုံ့', 'Việt'.normalize('NFD'), 'ที่', 'རྐྱུ', 'क्षत्रिय'])
      expect(visibleParts(name)).toEqual([{ text: name, unseen: false }])
  })

  test('words that mix look-alike alphabets are told from texts in several languages', () => {
    expect(mixedAlphabets('pаypal')).toEqual(['Latin', 'Cyrillic'])
    expect(mixedAlphabets('Привет from Αθήνα')).toEqual([])
  })
})

test('neither page allows inline scripts or styles, or any host but the node', async () => {
  for (const page of ['index.html', 'console/index.html']) {
    const html = await readFile(new URL(`../../anchor-service/web/${page}`, import.meta.url), 'utf8')
    const policy = /Content-Security-Policy"\s+content="([^"]+)"/.exec(html)![1]!
    expect(policy).toContain(
      "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'",
    )
    expect(policy).not.toMatch(/unsafe|\*(?!;|$| http)/)
    expect(html).not.toMatch(/<script>|<style|style=|\son\w+=/)
  }
})

test('a time before the year 1 is not told as one of our era', () => {
  for (const { time } of [ENGLISH, GERMAN]) {
    expect(time('0000-01-01T00:00:00Z')).toBe('0000-01-01T00:00:00Z')
    expect(time('0001-01-01T00:00:00+14:00')).toBe('0001-01-01T00:00:00+14:00')
    expect(time('0001-01-01T00:00:00Z')).toMatch(/^1\.? \w+ 1 .*00:00:00 UTC$/)
    expect(time('no time')).toBe('no time')
  }
})
