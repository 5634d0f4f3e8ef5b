import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, utimesSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test, vi } from 'vitest'
import { makeMemoryFolder } from '../../scripts/lib/memory-folder.ts'
import { smallDisk } from '../support/small-disk.ts'

test('a folder for everybody where there is room, and what killed runs have left is removed', () => {
  const home = mkdtempSync(join(tmpdir(), 'killick-memory-'))
  onTestFinished(() => rmSync(home, { recursive: true, force: true }))
  const old = new Date(Date.now() - 2 * 3_600_000)
  const left = (name: string, time: Date) => {
    mkdirSync(join(home, name, 'postgres'), { recursive: true })
    utimesSync(join(home, name), time, time)
    return name
  }
  const gone = spawnSync(process.execPath, ['--version']).pid
  left(`killick-${gone}`, old)
  const kept = [left(`killick-${process.ppid}`, old), left('others', old)]
  expect(makeMemoryFolder(home, Number.MAX_SAFE_INTEGER)).toBeNull()
  expect(readdirSync(home).sort()).toEqual(kept.sort())

  // Of a run that another container may be in the middle of.
  kept.push(left(`killick-${gone}`, new Date()))
  left(`killick-${process.pid}`, old)
  const made = makeMemoryFolder(home, 1)!
  expect(made).toBe(join(home, `killick-${process.pid}`))
  expect(readdirSync(made)).toEqual([])
  expect(statSync(made).mode & 0o7777).toBe(0o1777)
  expect(readdirSync(home).sort()).toEqual([...kept, `killick-${process.pid}`].sort())
  expect(makeMemoryFolder(null)).toBeNull()
})

test('what cannot be removed, such as a disk that is mounted there, is left, and told of', () => {
  const home = mkdtempSync(join(tmpdir(), 'killick-memory-'))
  const left = join(home, `killick-${spawnSync(process.execPath, ['--version']).pid}`)
  mkdirSync(left)
  const disk = smallDisk(1, left)
  onTestFinished(() => {
    vi.restoreAllMocks()
    disk.remove()
    rmSync(home, { recursive: true })
  })
  const old = new Date(Date.now() - 2 * 3_600_000)
  utimesSync(left, old, old)
  const told = vi.spyOn(console, 'warn').mockImplementation(() => {})
  expect(makeMemoryFolder(home, 1)).toBe(join(home, `killick-${process.pid}`))
  expect(readdirSync(left)).toHaveLength(1)
  expect(told).toHaveBeenCalledExactlyOnceWith(expect.stringContaining(`${left} cannot be removed`))
})
