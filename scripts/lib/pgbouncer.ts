import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from './free-port.ts'
import { type ChildHandle, startChild } from './processes.ts'
import { findTool, TOOLS } from './tools.ts'

/** An account that owns nothing, for pgbouncer, which does not run as root. */
const NOBODY = 65_534

/**
 * A pgbouncer on loopback before a PostgreSQL, for its user.
 * @param direct URL of a database @param mode when a connection may get another session
 * @returns `url`: of the same database, through it
 */
export async function startBouncer(
  direct: string,
  mode: 'session' | 'transaction' | 'statement',
): Promise<{ child: ChildHandle; url: string }> {
  const program = findTool('pgbouncer')
  if (program === null) throw new Error(`pgbouncer is missing: ${TOOLS.pgbouncer.install}`)
  const folder = await mkdtemp(join(tmpdir(), 'killick-bouncer-'))
  const url = new URL(direct)
  const port = await freePort()
  const settings = {
    ...{ listen_addr: '127.0.0.1', listen_port: port, unix_socket_dir: '', pool_mode: mode, max_client_conn: 100 },
    ...{ default_pool_size: 50, auth_type: 'plain', auth_file: join(folder, 'users') },
  }
  const lines = Object.entries(settings).map(([name, value]) => `${name} = ${value}`)
  await writeFile(join(folder, 'users'), `"${url.username}" "${url.password}"\n`)
  await writeFile(
    join(folder, 'bouncer.ini'),
    `[databases]\n* = host=${url.hostname} port=${url.port}\n[pgbouncer]\n${lines.join('\n')}\n`,
  )
  await chmod(folder, 0o755)
  const asNobody = process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {}
  const child = await startChild(program, [join(folder, 'bouncer.ini')], asNobody)
  await child.printed(/process up/)
  child.exited.then(() => rm(folder, { recursive: true, force: true }))
  url.host = `127.0.0.1:${port}`
  return { child, url: url.href }
}
