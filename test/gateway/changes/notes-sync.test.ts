// When notes say that something would outlive a power cut, also while another sync is under way, or after one that failed.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'

const NOTES = fileURLToPath(new URL('../../../gateway/src/changes/notes.ts', import.meta.url))
let folder: string

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'killick-notes-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

/** Runs a text where each sync of a file takes 100 ms and is told in `told`, and the first fails if `fails`. @returns what it told */
const run = (name: string, body: string, fails = false): string[] =>
  JSON.parse(
    execFileSync(
      process.execPath,
      [
        '--input-type=module',
        '--eval',
        `import fs from 'node:fs'
         import { syncBuiltinESMExports } from 'node:module'
         const told = []
         const { fdatasync } = fs
         let count = 0
         fs.fdatasync = (file, done) => {
           const nth = ++count
           told.push('begins')
           setTimeout(() => {
             if (${fails} && nth === 1) return done(Object.assign(new Error('EIO'), { code: 'EIO' }))
             fdatasync(file, (error) => {
               told.push(error ? error.code : 'ends')
               done(error)
             })
           }, 100)
         }
         syncBuiltinESMExports()
         const { Notes } = await import(${JSON.stringify(NOTES)})
         const FILE = ${JSON.stringify(join(folder, name))}
         const notes = Notes.open(FILE)
         notes.begin()
         const at = (commit) => notes.reached({ epoch: 1, commit, index: 1 })
         const tell = (what, promise) => promise.then(() => told.push(what), (error) => told.push(what + ' ' + error.code))
         ${body}
         console.log(JSON.stringify(told))`,
      ],
      { encoding: 'utf8' },
    ),
  )

test('a second caller waits for the sync that is under way, and begins no other for the same', () => {
  const told = run('second', `at(1n); await Promise.all([tell('first', notes.sync()), tell('second', notes.sync())])`)
  expect(told).toEqual(['begins', 'ends', 'first', 'second'])
})

test('what was written while one is under way takes another', () => {
  const told = run(
    'later',
    `at(1n); const first = tell('first', notes.sync()); at(2n); await Promise.all([first, tell('second', notes.sync())])`,
  )
  expect(told).toEqual(['begins', 'ends', 'first', 'begins', 'ends', 'second'])
})

test('after one that failed the next tries again, and so does who waited for it', () => {
  expect(run('failed', `at(1n); await tell('first', notes.sync()); await tell('second', notes.sync())`, true)).toEqual([
    ...['begins', 'first EIO', 'begins', 'ends', 'second'],
  ])
  const together = `at(1n); await Promise.all([tell('first', notes.sync()), tell('second', notes.sync())])`
  const told = run('failed-together', together, true)
  expect(told.filter((what) => what !== 'first EIO')).toEqual(['begins', 'begins', 'ends', 'second'])
})

test('a file that is begun anew meanwhile, or closed, keeps its place, and no other file is closed or synced for it', () => {
  const anew = run(
    'anew',
    `at(1n); const first = tell('first', notes.sync()); notes.begin(); await first; await tell('second', notes.sync())
     // A full disk keeps it from that: the former file, by which the next process goes, goes on.
     const { fsyncSync } = fs
     fs.fsyncSync = () => { throw new Error('ENOSPC') }
     syncBuiltinESMExports()
     try { notes.begin() } catch (error) { told.push(error.message.replace(/.*: /, '')) }
     fs.fsyncSync = fsyncSync
     at(2n); await tell('third', notes.sync())
     told.push(fs.readFileSync(FILE, 'utf8').includes('0/00000002'))`,
  )
  expect(anew).toEqual(['begins', 'ends', 'first', 'second', 'ENOSPC', 'begins', 'ends', 'third', true])
  const closed = run('closed', `at(1n); const first = tell('first', notes.sync()); notes.close(); await first`)
  expect(closed).toEqual(['begins', 'ends', 'first'])
})
