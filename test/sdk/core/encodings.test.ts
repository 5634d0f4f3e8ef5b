import { execFileSync } from 'node:child_process'
import {
  concat,
  equalBytes,
  fromBase64,
  fromBase64url,
  fromHex,
  fromUtf8,
  KillickError,
  MAX_EVENT_BYTES,
  MAX_PROOF_BYTES,
  openNote,
  parseBatch,
  parseBatchHeader,
  parseCheckpoint,
  parseEvent,
  parseJson,
  parseNote,
  parseProof,
  printCheckpoint,
  sha256,
  splitBatch,
  toBase64,
  toBase64url,
  toHex,
  utf8,
} from '@killick/sdk/core'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

const numRuns = process.env.CI ? 2500 : 200
const bytes = fc.uint8Array({ maxLength: 100 })

describe('bytes', () => {
  const codecs = {
    hex: [toHex, fromHex],
    base64: [toBase64, fromBase64],
    base64url: [toBase64url, fromBase64url],
  } as const

  test.each(Object.entries(codecs))('%s prints as Node does and reads back', (name, [print, parse]) => {
    fc.assert(
      fc.property(bytes, (value) => {
        expect(print(value)).toBe(Buffer.from(value).toString(name as 'hex'))
        expect(parse(print(value))).toEqual(value)
      }),
      { numRuns },
    )
  })

  test('base64url is the same with what engines have of it since 2025, which Node 24 has behind a flag', () => {
    const near = fc.string({ unit: fc.constantFrom(...'AQgwZz09+/-_=af \n\t\u00e9'), maxLength: 9 })
    const texts = [...fc.sample(near, 5 * numRuns), ...fc.sample(bytes, numRuns).map(toBase64url)]
    const module = JSON.stringify(new URL('../../../sdk/src/core/bytes.ts', import.meta.url))
    const code = `
      import { readFileSync } from 'node:fs'
      import { fromBase64url, toBase64url } from ${module}
      const texts = JSON.parse(readFileSync(0, 'utf8'))
      const read = texts.map(fromBase64url)
      console.log(JSON.stringify([typeof Uint8Array.fromBase64, read.map((one) => one && [[...one], toBase64url(one)])]))`
    const args = ['--js-base-64', '--no-warnings', '--input-type=module', '-e', code]
    const printed = execFileSync(process.execPath, args, { input: JSON.stringify(texts), encoding: 'utf8' })
    const own = texts.map(fromBase64url).map((one) => one && [[...one], toBase64url(one)])
    expect(JSON.parse(printed)).toEqual(['function', own])
    expect(own.filter((one) => one === null).length).toBeGreaterThan(numRuns)
  })

  test.each(Object.entries(codecs))('%s has one spelling for each value', (_, [print, parse]) => {
    const texts = fc.oneof(fc.string({ unit: fc.constantFrom(...'AQgwZz09+/-_=af \n') }), fc.string({ unit: 'binary' }))
    fc.assert(
      fc.property(texts, (text) => {
        const value = parse(text)
        if (value !== null) expect(print(value)).toBe(text)
      }),
      { numRuns: numRuns * 5 },
    )
  })

  test('stray bits, padding and other alphabets are refused', () => {
    for (const text of ['AB', 'AAB', 'A', 'AA==', 'A A', 'AA+A', 'AA/A', 'AÄAA', '\u0141AAA']) {
      expect(fromBase64url(text), text).toBeNull()
    }
    for (const text of ['AA', 'AB==', 'AAB=', 'AA=A', 'A===', '====', '=', 'AA-A', 'AA==\n', 'AA==AA==']) {
      expect(fromBase64(text), text).toBeNull()
    }
    for (const text of ['0', 'AB', '0g', ' 0', '0x']) expect(fromHex(text), text).toBeNull()
  })

  test('UTF-8 is checked, and a byte order mark kept', () => {
    for (const bad of [[0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0xe2, 0x82]]) {
      expect(fromUtf8(Uint8Array.from(bad))).toBeNull()
    }
    expect(fromUtf8(Uint8Array.of(0xef, 0xbb, 0xbf, 0x41))).toBe('\ufeffA')
  })

  test('concat joins and equalBytes compares', () => {
    fc.assert(
      fc.property(bytes, bytes, (a, b) => {
        expect(Buffer.from(concat(a, b))).toEqual(Buffer.concat([a, b]))
        expect(equalBytes(a, b)).toBe(Buffer.compare(a, b) === 0)
      }),
      { numRuns },
    )
  })
})

describe('strict JSON', () => {
  const outcome = (text: string): unknown => {
    try {
      return { value: parseJson(text) }
    } catch (error) {
      expect(error).toBeInstanceOf(KillickError)
      return (error as KillickError).code
    }
  }
  const safe = (value: unknown): boolean =>
    typeof value === 'number'
      ? !Number.isInteger(value) || Number.isSafeInteger(value)
      : typeof value !== 'object' ||
        value === null ||
        Object.entries(value).every(([k, v]) => k !== '__proto__' && safe(v))
  const valid = fc.json({ maxDepth: 6, stringUnit: 'binary' }).filter((text) => safe(JSON.parse(text)))

  test('agrees with JSON.parse on what is valid, however it is spaced', () => {
    fc.assert(
      fc.property(valid, fc.constantFrom('', ' ', '\t', 2), (text, space) => {
        const spaced = typeof space === 'number' ? JSON.stringify(JSON.parse(text), null, space) : space + text + space
        expect(parseJson(spaced)).toEqual(JSON.parse(text))
      }),
      { numRuns },
    )
  })

  test('accepts nothing that JSON.parse refuses, and the native path decides as the scanner does', () => {
    const piece = fc.constantFrom(
      ...[
        '{',
        '}',
        '[',
        ']',
        ':',
        ',',
        '"a"',
        '"b"',
        '"__proto__"',
        '"\\u0061"',
        '"\\ud800"',
        '"\ud800"',
        '"🎉"',
        '1',
        '-0',
      ],
      ...[
        '1e5',
        '1E5',
        '1.50',
        '9007199254740992',
        '900719925474099.2',
        '1e400',
        '-',
        '.',
        'true',
        'null',
        ' ',
        '\n',
        '\\',
        '"',
      ],
    )
    const texts = fc.oneof(
      fc.array(piece, { maxLength: 14 }).map((pieces) => pieces.join('')),
      fc
        .tuple(valid, fc.nat(), piece)
        .map(([text, at, p]) => text.slice(0, at % text.length) + p + text.slice((at % text.length) + 1)),
      fc
        .array(fc.tuple(fc.constantFrom('"a"', '"b"', '"\\u0061"', '"2"', '"1"'), valid), { maxLength: 3 })
        .map((members) => `{${members.map((member) => member.join(':')).join(',')}}`),
    )
    fc.assert(
      fc.property(texts, (text) => {
        const result = outcome(text)
        // A leading space keeps a text off the native path.
        expect(result).toEqual(outcome(` ${text}`))
        if (typeof result === 'object') expect(result).toEqual({ value: JSON.parse(text) })
      }),
      { numRuns: numRuns * 10 },
    )
  })

  test('depth is counted, not brackets', () => {
    expect(parseJson(`[${Array(50).fill('[]').join(',')}]`)).toHaveLength(50)
    expect(() => parseJson('[[]]', 1)).toThrow(expect.objectContaining({ code: 'json_too_deep' }))
  })
})

describe('parsers throw a KillickError at anything that they do not read', () => {
  const parsers = {
    parseEvent,
    parseBatchHeader,
    parseProof,
    parseNote,
    parseCheckpoint,
    openNote: (v: string) => openNote(v, []),
  }
  const garbage = fc.oneof(
    fc.anything(),
    fc.string(),
    fc.json(),
    fc.string().map((text) => `${text}~`),
  )

  test.each(Object.entries(parsers))('%s', (_, parse) => {
    fc.assert(
      fc.property(garbage, (value) => {
        expect(() => parse(value as never)).toThrow(KillickError)
      }),
      { numRuns },
    )
  })

  test('parseBatch', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          bytes,
          fc.array(fc.json()).map((lines) => utf8(`${lines.join('\n')}\n`)),
        ),
        (body) => {
          expect(() => parseBatch(body)).toThrow(KillickError)
        },
      ),
      { numRuns },
    )
  })
})

describe('limits', () => {
  const code = (value: string) => expect.objectContaining({ name: 'KillickError', code: value })

  test('refuse a million empty lines, and a body beyond 16 MiB', () => {
    expect(() => splitBatch(new Uint8Array(1_000_000).fill(0x0a))).toThrow(code('batch_too_large'))
    expect(() => splitBatch(new Uint8Array(16 * 1024 * 1024 + 1))).toThrow(code('batch_too_large'))
  })

  test('hold for events, proofs and notes', () => {
    expect(() => parseEvent('A'.repeat(MAX_EVENT_BYTES + 1))).toThrow(code('event_too_large'))
    expect(() => parseProof(' '.repeat(MAX_PROOF_BYTES + 1))).toThrow(code('proof_too_large'))
    expect(() => parseProof(new Uint8Array(MAX_PROOF_BYTES + 1))).toThrow(code('proof_too_large'))
    expect(() => parseNote(`${'x'.repeat(262_144)}\n\n— a b\n`)).toThrow(code('note_malformed'))
    expect(() => parseJson('['.repeat(1_000_000))).toThrow(code('json_too_deep'))
  })

  test('a proof that is not UTF-8 is refused', () => {
    expect(() => parseProof(Uint8Array.of(0x7b, 0xff))).toThrow(code('proof_malformed'))
  })
})

test('checkpoints print and read back', () => {
  const size = fc.oneof(fc.maxSafeNat(), fc.bigInt({ min: 2n ** 53n, max: 2n ** 64n - 1n }))
  fc.assert(
    fc.property(size, bytes, (n, seed) => {
      const checkpoint = { origin: 'log.example.com', size: n, root: sha256(seed) }
      expect(parseCheckpoint(printCheckpoint(checkpoint))).toEqual({ ...checkpoint, extensions: [] })
    }),
    { numRuns },
  )
})
