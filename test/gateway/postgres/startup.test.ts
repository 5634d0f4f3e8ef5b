// What the first packet sets, as the server reads it: nobody takes on a role by it whom the policy does not let.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { seen, type World, world } from './support.ts'

let it: World
beforeAll(async () => {
  it = await world({ policy: { rules: [{ name: 'no-role', does: ['identity'] }] } })
})
afterAll(() => it?.remove())

const who = (options: string) =>
  it.with(async (client) => (await client.query('select current_user as name')).rows[0].name, { options })

const ROLES = [
  '-c role=pg_monitor',
  '-crole=pg_monitor',
  '--ROLE=pg_monitor',
  '-ec ro\\le=pg_monitor',
  '-c work_mem=1MB -c role=pg_monitor',
]

test('a role that it takes on is denied', async () => {
  for (const options of ROLES) await expect(who(options), options).rejects.toMatchObject({ code: '42501' })
  // Without a policy the server takes it.
  await it.events()
  await it.start({ policy: {} })
  for (const options of ROLES) expect(await who(options), options).toBe('pg_monitor')
  await it.events()
  await it.start()
})

test('any other setting is none of that', async () => {
  const user = new URL(it.direct).username
  expect(await who('-c work_mem=1MB -c application_name=role=x -c search_path=role -c Killick.Actor=ada')).toBe(user)
  const events = (await it.events()).map(seen)
  expect(events.findLast(({ action }) => action === 'postgres.statement')!.context.claimedActor.id).toBe('ada')
  const refused = events.filter(({ action }) => action === 'postgres.session.refused')
  expect(refused.map(({ known }) => known.code)).toEqual(ROLES.map(() => 'postgres_denied'))
})

test('user and database are those of the server: it keeps 63 bytes of a name', async () => {
  await it.events()
  const [user, database] = ['u'.repeat(63), 'd'.repeat(63)]
  const rule = { name: 'long', does: ['identity'], users: [user], databases: [database] }
  await it.start({ policy: { rules: [rule] } })
  const longer = { user: `${user}-more`, database: `${database}-more`, options: '-c role=pg_monitor' }
  await expect(
    it.with(async () => {}, { ...longer, connectionString: undefined, ...portOf(it) }),
  ).rejects.toMatchObject({
    code: '42501',
  })
})

test('what copies the whole server is in none of its databases, whatever it names', async () => {
  await it.events()
  const as = (replication: string) => it.with(async () => {}, { replication } as object)
  await it.start({ policy: { databases: [new URL(it.direct).pathname.slice(1)] } })
  for (const value of ['true', 'ON', '1']) await expect(as(value)).rejects.toThrow('The policy of the relay')
  await as('off')
  await it.events()
  await it.start({ policy: { databases: ['replication'] } })
  await as('true')
  const start = (await it.events()).map(seen).findLast(({ action }) => action === 'postgres.session.start')
  expect(start!.targets[0]).toEqual({ type: 'database', id: 'replication' })
  await it.start()
})

const portOf = ({ relay }: World) => ({ host: '127.0.0.1', port: relay.port })
