// The relay and the recorder of changes with earlier servers than the one that all other tests have: the oldest, and the one before.
import { access, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { recordIn } from '@killick/sdk/postgres'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Cluster } from '../../anchor-service/src/database/embedded/cluster.ts'
import { type Binaries, run, whoRuns } from '../../anchor-service/src/database/embedded/process.ts'
import { ensureRunning, makeCluster, USER } from '../../anchor-service/src/database/embedded/server.ts'
import { installCached } from '../../scripts/lib/install-beside.ts'
import { caughtUp, world as changesWorld, ofAction, postgres, type Told } from './changes/support.ts'
import { statements, world } from './postgres/support.ts'

const isHere = process.platform === 'linux' && process.arch === 'x64'
const modules = isHere ? installCached('postgres-servers', join(import.meta.dirname, 'servers')) : null

/** Starts a server of another version on a folder, which it makes or goes on with. */
const server =
  (name: string) =>
  async (folder: string): Promise<Cluster> => {
    const binaries: Binaries = await import(pathToFileURL(join(modules!, name, 'dist/index.js')).href)
    const data = join(folder, 'postgres')
    await mkdir(folder, { recursive: true })
    const runAs = await whoRuns([data, binaries.postgres])
    const place = { folder, data, binaries, runAs }
    const isMade = await access(data).then(
      () => true,
      () => false,
    )
    const credentials = isMade
      ? ((await import(pathToFileURL(join(folder, 'postgres.json')).href, { with: { type: 'json' } })).default as {
          port: number
          password: string
        })
      : await makeCluster(place)
    const port = await ensureRunning(place, credentials, { mayMove: true, tell: () => {} })
    const url = (database: string) => `postgres://${USER}:${credentials.password}@127.0.0.1:${port}/${database}`
    return {
      async databaseUrl(database) {
        const client = new pg.Client({ connectionString: url('postgres') })
        await client.connect()
        await client.query(`create database ${client.escapeIdentifier(database)}`).catch((error: pg.DatabaseError) => {
          if (error.code !== '42P04') throw error
        })
        await client.end()
        return url(database)
      },
      close: async () => void (await run(binaries.pg_ctl, ['stop', '-D', data, '-m', 'fast', '-w'], runAs)),
    }
  }

const after = (path: string, value: string | null) => ({ path, after: value })
const before = (path: string, value: string) => ({ path, before: value })

describe.skipIf(modules === null).each(['14', '17'])('PostgreSQL %s', (version) => {
  beforeAll(() => postgres.start(server(`postgres-${version}`)))
  afterAll(() => postgres.stop())

  test('through the relay: every statement has its intent and its outcome', async () => {
    const it = await world({}, await postgres.database())
    const answered = await it.with(async (client) => {
      const { rows } = await client.query('show server_version_num')
      await client.query('create table t (id int primary key, name text)')
      await client.query('begin')
      await client.query('insert into t values ($1, $2), (2, null)', [1, 'one'])
      await client.query('savepoint s')
      await expect(client.query('insert into t values (1)')).rejects.toMatchObject({ code: '23505' })
      await client.query('rollback to s')
      await client.query('commit')
      await client.query({ name: 'by-id', text: 'select name from t where id = $1', values: [1] })
      const again = await client.query({ name: 'by-id', text: 'select name from t where id = $1', values: [1] })
      await client.query("do $$ begin delete from t where id = 2; end $$; select 'two' as second")
      return [String(rows[0].server_version_num).slice(0, 2), again.rows, (await client.query('table t')).rows]
    })
    expect(answered).toEqual([version, [{ name: 'one' }], [{ id: 1, name: 'one' }]])
    // These servers do not tell along which path they look a name up; the first packet does.
    const options = '-c search_path=elsewhere,pg_catalog'
    await it.with((client) => client.query("select lower('X')"), { options })
    const told = statements(await it.events()).map(({ intent, end }) => [
      intent.statement,
      intent.known.isFullyKnown,
      end.results?.map(({ tag }: Told) => tag) ?? end.tag ?? end.sqlstate,
    ])
    await it.remove()
    expect(told).toEqual([
      ['show server_version_num', true, 'SHOW'],
      ['create table t (id int primary key, name text)', true, 'CREATE TABLE'],
      ['begin', true, 'BEGIN'],
      ['insert into t values ($1, $2), (2, null)', true, 'INSERT 0 2'],
      ['savepoint s', true, 'SAVEPOINT'],
      ['insert into t values (1)', true, '23505'],
      ['rollback to s', true, 'ROLLBACK'],
      ['commit', true, 'COMMIT'],
      ['select name from t where id = $1', true, 'SELECT 1'],
      ['select name from t where id = $1', true, 'SELECT 1'],
      ["do $$ begin delete from t where id = 2; end $$; select 'two' as second", false, ['DO', 'SELECT 1']],
      ['table t', true, 'SELECT 1'],
      ["select lower('X')", false, 'SELECT 1'],
    ])
  })

  test('its changes: rows before and after, with what the application said in its transaction, and after a restart of the server', async () => {
    const it = await changesWorld(
      'create table t (id int primary key, name text, rest jsonb); alter table t replica identity full',
    )
    const recorder = await it.start()
    await it.client.query('begin')
    await it.client.query(`insert into t values (1, 'one', '{"a": [1, null]}')`)
    await recordIn(it.client, { action: 'thing.create', actor: { type: 'user', id: 'ada' } })
    await it.client.query('commit')
    await it.client.query(`update t set name = 'two'`)
    await it.finish(recorder)
    await it.client.end()
    await postgres.restart()
    const client = new pg.Client({ connectionString: it.url })
    await client.connect()
    await client.query('delete from t')
    await client.query('insert into t values (2)')
    await client.query('truncate t')
    const next = await it.start()
    await caughtUp(client, it.slot)
    await next.close()
    // While there is no publication: these servers never send it, nor what follows, whoever makes the publication anew.
    await client.query('drop publication killick')
    await client.query('insert into t values (3)')
    await client.query('create publication killick for all tables')
    await expect((await it.start()).ended).rejects.toMatchObject({ code: 'changes_gap' })
    const last = await it.start({ onGap: 'accept' })
    await expect.poll(() => last.status.reconnects).toBe(1)
    await client.query('insert into t values (4)')
    await caughtUp(client, it.slot)
    await last.close()
    await client.end()
    const events = await it.events()
    const rows = events.filter(({ metadata }: Told) => ['row', 'truncate'].includes(metadata.changes?.kind))
    expect(rows.map(({ action, changes }: Told) => [action, changes])).toEqual([
      ['changes.insert', [after('/id', '1'), after('/name', 'one'), after('/rest', '{"a": [1, null]}')]],
      ['changes.update', [{ path: '/name', before: 'one', after: 'two' }]],
      ['changes.delete', [before('/id', '1'), before('/name', 'two'), before('/rest', '{"a": [1, null]}')]],
      ['changes.insert', [after('/id', '2'), after('/name', null), after('/rest', null)]],
      ['changes.truncate', undefined],
      ['changes.insert', [after('/id', '4'), after('/name', null), after('/rest', null)]],
    ])
    const gap = events.filter(({ action }: Told) => action.startsWith('changes.gap'))
    expect(gap.map(({ action, metadata }: Told) => [action, metadata.changes.why])).toEqual([
      ['changes.gap', 'publication_was_missing'],
      ['changes.gap.accept', 'publication_was_missing'],
    ])
    expect(ofAction(events, 'thing.create')).toHaveLength(1)
  })
})
