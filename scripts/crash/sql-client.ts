// Sends statements until it is killed, each of which writes its own name into the table `done`: by the simple and the extended protocol,
// several at a time, in transactions that are committed and rolled back. Prints the names of what was answered as committed.
//
//   node sql-client.ts <url>
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'

const [url] = process.argv.slice(2) as [string]
const life = randomUUID().slice(0, 8)
const INSERT = 'insert into done values ($1)'
const committed = (...names: string[]) => void process.stdout.write(names.map((name) => `${name}\n`).join(''))

async function work(client: pg.Client, name: string, n: number): Promise<void> {
  if (n % 5 === 0) {
    await client.query(`insert into done values ('${name}')`)
    committed(name)
  } else if (n % 5 === 1) {
    await client.query(INSERT, [name])
    committed(name)
  } else if (n % 5 === 2) {
    const names = [0, 1, 2].map((i) => `${name}.${i}`)
    await Promise.all(names.map((each) => client.query({ name: 'insert', text: INSERT, values: [each] })))
    committed(...names)
  } else if (n % 5 === 3) {
    const names = [0, 1].map((i) => `${name}.${i}`)
    await client.query('begin')
    for (const each of names) await client.query(INSERT, [each])
    await client.query('commit')
    committed(...names)
  } else {
    await client.query('begin')
    await client.query(INSERT, [name])
    await client.query('rollback')
  }
}

async function send(worker: number): Promise<void> {
  for (let n = 0; ; n++) {
    const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 5_000, query_timeout: 20_000 })
    client.on('error', () => {})
    try {
      await client.connect()
      for (; ; n++) {
        await work(client, `${life}-${worker}-${n}`, n)
        await sleep(10)
      }
    } catch {
      await sleep(50)
    }
    client.end().catch(() => {})
  }
}

await Promise.all([1, 2, 3, 4].map(send))
