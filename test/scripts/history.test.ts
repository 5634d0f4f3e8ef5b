import { execFileSync } from 'node:child_process'
import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { readHistory, subjectOf } from '../../scripts/lib/history.ts'
import { checkEventInput } from '../../sdk/src/core/fields.ts'

describe('the events that npm start records', () => {
  let folder: string
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'killick-history-'))
  })
  afterEach(() => rm(folder, { recursive: true, force: true }))

  const git = (...args: string[]) => {
    const env = { ...process.env, GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_NOSYSTEM: '1' }
    const who = ['-c', 'user.name=Zoë "Z" Lindqvist', '-c', 'user.email=zoe@example.com']
    return execFileSync('git', [...who, ...args], { cwd: folder, env, encoding: 'utf8' }).trim()
  }
  const commit = (message: string, date = '2026-03-01T12:00:00+01:00') =>
    git('commit', '--allow-empty', '-qm', message, '--date', date)

  test('a commit tells who, what, when, and which files with their blobs', async () => {
    git('init', '-q')
    await writeFile(join(folder, 'straße\tand tab.txt'), 'one')
    await writeFile(join(folder, 'gone'), 'two\n'.repeat(9))
    git('add', '.')
    commit('Begin')
    await rename(join(folder, 'gone'), join(folder, 'moved'))
    await writeFile(join(folder, 'straße\tand tab.txt'), 'three')
    git('add', '.')
    commit('Move\n\nand the body stays out', '2026-03-02T08:30:00+00:00')

    const { source, events } = await readHistory(folder)
    expect(source).toBe('git')
    expect(events).toHaveLength(2)
    for (const event of events) expect(() => checkEventInput(event)).not.toThrow()
    const blob = (name: string) => git('rev-parse', name)
    expect(events[1]).toMatchObject({
      action: 'git.commit',
      actor: { type: 'person', id: 'zoe@example.com', name: 'Zoë "Z" Lindqvist' },
      targets: [{ type: 'commit', id: blob('HEAD'), name: 'Move' }, { type: 'repository' }],
      changes: [
        { path: 'moved', before: `${blob('HEAD~1:gone')} gone`, after: blob('HEAD:moved') },
        { path: 'straße\tand tab.txt', before: blob('HEAD~1:straße\tand tab.txt') },
      ],
      metadata: { parents: [blob('HEAD~1')], filesChanged: 2 },
      occurredAt: '2026-03-02T08:30:00+00:00',
    })
    expect(events[0]!.changes).toContainEqual({ path: 'gone', before: null, after: blob('HEAD~1:gone') })
  })

  test('a parent comes before its children, and a merge after both sides', async () => {
    git('init', '-q', '-b', 'main')
    commit('root')
    git('checkout', '-qb', 'side')
    commit('side')
    git('checkout', '-q', 'main')
    commit('main')
    git('merge', '-q', '--no-ff', '-m', 'merge', 'side')
    const { events } = await readHistory(folder)
    const order = new Map(events.map((event, i) => [subjectOf(event), i]))
    expect(order.size).toBe(4)
    for (const event of events) {
      for (const parent of event.metadata!.parents as string[]) {
        expect(order.get(parent)).toBeLessThan(order.get(subjectOf(event))!)
      }
    }
  })

  test.each([
    ['no repository', async () => {}],
    ['a repository without a commit', async () => void git('init', '-q')],
    [
      "a folder inside somebody else's repository",
      async () => {
        git('init', '-q')
        commit('theirs')
        await mkdir(join(folder, 'ours'))
        folder = join(folder, 'ours')
      },
    ],
  ])('%s: the bundled sample, every event with a subject of its own', async (_, prepare) => {
    await prepare()
    const { source, events } = await readHistory(folder)
    expect(source).toBe('sample')
    for (const event of events) expect(() => checkEventInput(event)).not.toThrow()
    expect(new Set(events.map(subjectOf)).size).toBe(events.length)
    expect(events.length).toBeGreaterThan(9)
  })
})
