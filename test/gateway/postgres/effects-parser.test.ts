// Texts that are too deep, too long, broken or many: they become `unparsed`, and the parser goes on.
import { execFileSync } from 'node:child_process'
import { beforeAll, describe, expect, it, test } from 'vitest'
import { effectsOf, loadParser, reasonIn } from '../../../gateway/src/postgres/effects/index.ts'

beforeAll(loadParser)

const kindsOf = (sql: string) => effectsOf(sql).map(({ kind }) => kind)
const DEEP = 10_000
const nested = (open: string, close: string, n = DEEP) => `select ${open.repeat(n)}1${close.repeat(n)}`

/** It is parsed by the next module, once that is there. */
async function parsesAgain(): Promise<void> {
  await loadParser()
  expect(effectsOf(`delete from t where a = ${Math.random()}`)).toMatchObject([{ kind: 'delete', writes: ['t'] }])
}

describe('ten thousand levels', () => {
  it.each([
    ['brackets', nested('(', ')')],
    ['sub-selects', nested('(select ', ')')],
    ['sub-selects, fewer', nested('(select ', ')', 1_500)],
    ['sums', `select 1${'+1'.repeat(DEEP)}`],
    ['NOT', `select ${'not '.repeat(5_000)}true`],
    ['CASE', nested('case when true then ', ' end')],
    ['arrays', nested('array[', ']')],
    ['unions', `select 1${' union select 1'.repeat(DEEP)}`],
    ['functions', nested('abs(', ')', 3_000)],
    ['joins', `select * from a${' join a on true'.repeat(DEEP)}`],
    ['comments', `${'/*'.repeat(DEEP)} select 1`],
    ['casts', `select 1${'::int'.repeat(DEEP)}`],
  ])('of %s', async (_name, sql) => {
    const kinds = kindsOf(sql)
    expect(kinds).toHaveLength(1)
    expect(['select', 'unparsed']).toContain(kinds[0])
    await parsesAgain()
  })

  it('are parsed as long as there is room for them', () => {
    expect(kindsOf(nested('(', ')', 1_000))).toEqual(['select'])
    expect(kindsOf(`select * from t where ${Array(2_000).fill('a = 1').join(' or ')}`)).toEqual(['select'])
  })

  it('one after the other find a module as good as new', async () => {
    for (let i = 0; i < 10; i++) {
      expect(kindsOf(`select ${i}${'+1'.repeat(DEEP)}`)).toEqual(['unparsed'])
      await parsesAgain()
    }
  })

  it('in one tick: what comes while no module is ready is not known, and not taken for harmless', async () => {
    for (let i = 0; i < 3; i++) kindsOf(`select -${i}${'+1'.repeat(DEEP)}`)
    expect(effectsOf('delete from t where a = -1')).toMatchObject([{ kind: 'unparsed', isFullyKnown: false }])
    await loadParser()
    expect(kindsOf('delete from t where a = -1')).toEqual(['delete'])
  })
})

test('long texts are not looked into', () => {
  expect(kindsOf(`insert into t values ('${'x'.repeat(900_000)}')`)).toEqual(['insert'])
  expect(kindsOf(`insert into t values ('${'x'.repeat(2_000_000)}')`)).toEqual(['unparsed'])
})

test.each([
  ['a zero byte', 'select 1\0; drop table t'],
  ['half a character', "select '\ud800'"],
  ['bytes that are no text', '\u0001\u0002\u0003'],
  ['an open text', "select 'x"],
  ['an open comment', 'select 1 /* x'],
  ['an open name', 'select "x'],
  ['an open dollar', 'select $x$ y'],
])('%s: no error is thrown', async (_name, sql) => {
  expect(kindsOf(sql).every((kind) => kind === 'unparsed' || kind === 'select')).toBe(true)
  await parsesAgain()
})

test('a zero byte hides nothing', () => {
  expect(kindsOf('select 1\0; drop table t')).toEqual(['unparsed'])
})

const GROWTH = `
  import { effectsOf, loadParser } from '${new URL('../../../gateway/src/postgres/effects/index.ts', import.meta.url)}'
  await loadParser()
  const columns = Array.from({ length: 200 }, (_, i) => 'a' + i).join()
  function some(from, n) {
    for (let i = from; i < from + n; i++) effectsOf('select ' + columns + ' from t' + i + ' where id = $1')
    gc()
    return process.memoryUsage().rss
  }
  // The program is compiled again, in the background, when it has run for a while.
  some(0, 500)
  await new Promise((done) => setTimeout(done, 500))
  const first = some(500, 500)
  console.log(some(1_000, 4_500) - first)`

test('many statements take no more memory than some', () => {
  // In a process of its own, which does not grow with what other tests have left to be collected. A tree left behind by each
  // statement would take 24 kB.
  const grown = execFileSync(process.execPath, ['--expose-gc', '--input-type=module', '--eval', GROWTH], {
    encoding: 'utf8',
  })
  expect(Number(grown)).toBeLessThan(96 << 20)
})

test('what is asked again is not parsed again', () => {
  const sql = `select ${Array(500).fill('a').join(', ')} from again`
  expect(effectsOf(sql)).toBe(effectsOf(sql))
})

describe('a reason', () => {
  it.each([
    ['delete from t /* reason: asked to */', 'asked to'],
    ['/*REASON:  two\nlines  */ delete from t', 'two\nlines'],
    ['/* reason: first */ select 1 /* reason: second */', 'first'],
    ['/* reason: */ select 1 /* reason: second */', 'second'],
    ['/* reason: a /* nested */ b */ select 1', 'a /* nested */ b'],
    [`select '/* reason: no */'`, null],
    [`select $$/* reason: no */$$`, null],
    [`select "/* reason: no */" from t`, null],
    [`select E'\\'/* reason: no */'`, null],
    ['select 1 -- /* reason: no */', null],
    ['/* why: x */ select 1', null],
    ['/* no /* reason: inside */ */ select 1', null],
    ['selec /* reason: does not parse */', 'does not parse'],
    ["select 'x /* reason: open */", null],
    ['', null],
  ])('%j: %j', (sql, reason) => {
    expect(reasonIn(sql)).toBe(reason)
  })
})
