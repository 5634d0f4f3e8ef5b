// `killick run --session` in a real terminal, which script of util-linux makes.
import { type ChildProcess, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { generateKey, openAuditLog, writeKeyFile } from '@killick/sdk'
import { parseEvent } from '@killick/sdk/core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { withCompileCache } from '../../support/processes.ts'
import { smallDisk } from '../../support/small-disk.ts'

const program = fileURLToPath(new URL('../../../sdk/src/cli/main.ts', import.meta.url))
const SESSION = new URL('../../../sdk/src/cli/run/session.ts', import.meta.url)
/** Nobody listens there, so everything stays in the spool and can be read there. */
const NOWHERE = 'http://127.0.0.1:9'
const sha256 = (data: string | Uint8Array) => createHash('sha256').update(data).digest('hex')

// biome-ignore lint/suspicious/noExplicitAny: each test looks for what it expects
type Fields = Record<string, any>

let root: string
beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'killick-session-test-'))
  await writeKeyFile(join(root, 'key.json'), generateKey())
})
afterAll(() => rmSync(root, { recursive: true, force: true }))

/** Where a program that keeps its events there has its own temporary files. */
const temporaryOf = (spool: string) => `${spool}.tmp`

/** Runs a line in a terminal of 100 by 30, with `$KILLICK` for the program. */
function inTerminal(spool: string, line: string): ChildProcess {
  mkdirSync(temporaryOf(spool), { recursive: true })
  const env = {
    TMPDIR: temporaryOf(spool),
    ...{
      PATH: process.env.PATH!,
      TERM: 'xterm',
      SHELL: '/bin/sh',
      NODE: process.execPath,
      PROGRAM: program,
    },
    ...{ KILLICK_URL: NOWHERE, KILLICK_SOURCE: 'ops', KILLICK_KEY: join(root, 'key.json'), KILLICK_SPOOL: spool },
  }
  const command = line.replaceAll('$KILLICK', '"$NODE" "$PROGRAM" run --wait 0')
  return spawn('script', ['-qec', `stty rows 30 cols 100; ${command}`, '/dev/null'], {
    env: withCompileCache(env),
    cwd: root,
  })
}

async function eventsIn(spool: string): Promise<Fields[]> {
  const found: Fields[] = []
  const log = await openAuditLog({
    ...{ url: NOWHERE, source: 'ops', key: join(root, 'key.json'), spool: join(spool, 'run', '0') },
    onError: () => {},
    onFound: (event) => void found.push(parseEvent(event).fields),
  })
  await log.close({ timeoutMs: 0 })
  return found
}

const castIn = (spool: string): string => {
  const folder = join(spool, 'run', 'casts')
  return readFileSync(join(folder, readdirSync(folder)[0]!), 'utf8')
}

describe.skipIf(!existsSync('/usr/bin/script'))('a session', () => {
  test('what the terminal shows is in chunks, in a file that plays, and the size follows the terminal', async () => {
    const spool = join(root, 'whole')
    writeFileSync(
      join(root, 'inner.sh'),
      [
        ...['printf "\\357\\273\\277"; stty size; printf \'it\\047s %s\\n\' "$1"; read x; echo "got $x"; touch ready'],
        ...[
          'until test "$(stty size)" = "40 90"; do sleep 0.05; done; printf "\\377\\342\\202"; printf "\\254\\n"; exit 7',
        ],
      ].join('\n'),
    )
    const resize = '(until test -e ready; do sleep 0.05; done; stty rows 40 cols 90 <$t) &'
    const child = inTerminal(spool, `t=$(tty); ${resize} exec $KILLICK --session --show-output -- sh inner.sh 'a  b'`)
    let shown = ''
    child.stdout!.on('data', (chunk) => {
      shown += chunk
      if (chunk.includes('a  b')) child.stdin!.write('hello\r')
    })
    const [code] = await once(child, 'close')
    expect(shown).toContain('got hello')
    expect(code).toBe(7)
    const [run, ...chunks] = await eventsIn(spool)
    const end = chunks.pop()!
    const cast = castIn(spool)
    const [header, ...lines] = cast
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line))
    expect(header).toMatchObject({ version: 2, width: 100, height: 30, env: { TERM: 'xterm' } })
    expect(lines.every(([time, kind, text]) => time >= 0 && 'or'.includes(kind) && typeof text === 'string')).toBe(true)
    expect(lines.map(([time]) => time)).toEqual(lines.map(([time]) => time).toSorted((a, b) => a - b))
    // `stty` sets rows and columns one after the other.
    expect(
      lines
        .filter(([, kind]) => kind === 'r')
        .map(([, , size]) => size)
        .at(-1),
    ).toBe('90x40')
    const output = lines.flatMap(([, kind, text]) => (kind === 'o' ? [text] : [])).join('')
    expect(output).toBe("\ufeff30 100\r\nit's a  b\r\nhello\r\ngot hello\r\n\ufffd€\r\n")

    expect(run!.metadata.session).toEqual({
      width: 100,
      height: 30,
      cast: expect.stringMatching(/\.cast$/),
      output: 'shown',
    })
    expect(chunks.length).toBeGreaterThan(0)
    let offset = 0
    for (const [i, { action, context, metadata, output: shownLines }] of chunks.entries()) {
      const part = Buffer.from(cast).subarray(offset, offset + metadata.cast.bytes)
      expect({ action, session: context.session, chunk: metadata.chunk }).toEqual({
        ...{ action: 'command.session.chunk', session: run!.context.session, chunk: i },
      })
      expect(metadata.cast).toEqual({ offset, bytes: part.length, sha256: sha256(part) })
      expect(shownLines).toBe(part.toString())
      offset += part.length
    }
    const bytes = Buffer.from(output.replace('\ufffd', '\u0001'))
    bytes[bytes.indexOf(1)] = 0xff
    expect(end).toMatchObject({
      ...{ action: 'command.end', outcome: 'failure' },
      metadata: {
        ...{ result: 'exited', exitCode: 7, stdout: { terminal: true } },
        session: {
          chunks: chunks.length,
          bytes: bytes.length,
          sha256: sha256(bytes),
          cast: { bytes: offset, sha256: sha256(cast) },
        },
      },
    })
    expect(readdirSync(temporaryOf(spool))).toEqual([])
  })

  test('killed, it leaves chunks and no end; the next start says that the end is unknown', async () => {
    const spool = join(root, 'killed')
    writeFileSync(
      join(root, 'held.sh'),
      'echo $$ >pid; echo begun; until test -e go; do sleep 0.1; done; echo more; exec sleep 60',
    )
    const child = inTerminal(spool, '$KILLICK --session -- sh held.sh')
    const note = join(spool, 'run', '0', 'under-way.json')
    const last = () => existsSync(note) && JSON.parse(readFileSync(note, 'utf8')).last
    await expect.poll(last, { timeout: 20_000 }).toBe(1)
    writeFileSync(join(root, 'go'), '')
    // The note on the second chunk is written when the first one is durable.
    await expect.poll(last, { timeout: 20_000 }).toBe(2)
    // The parent of the inner script is the program.
    const inner = Number(readFileSync(join(root, 'pid'), 'utf8'))
    const parentOf = (pid: number) => Number(/^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1])
    process.kill(parentOf(parentOf(inner)), 'SIGKILL')
    await once(child, 'close')
    const next = inTerminal(spool, '$KILLICK -- true')
    next.stdout!.resume()
    await once(next, 'close')
    const events = await eventsIn(spool)
    const [run, first, ...rest] = events
    expect([run!.action, first!.action]).toEqual(['command.run', 'command.session.chunk'])
    expect(
      rest
        .filter(({ action }) => action !== 'command.session.chunk')
        .map(({ action, metadata }) => [action, metadata.result]),
    ).toEqual([
      ...[
        ['command.end', 'unknown'],
        ['command.run', undefined],
        ['command.end', 'exited'],
      ],
    ])
    expect(first!.output).toBeUndefined()
    expect(first!.metadata.sha256).toBe(sha256('begun\r\n'))
  })

  test('without a terminal there is none to record; where its file cannot be, nothing is run', async () => {
    const spool = join(root, 'none')
    mkdirSync(join(spool, 'run'), { recursive: true })
    writeFileSync(join(spool, 'run', 'casts'), 'in the way')
    const child = inTerminal(
      spool,
      'echo in | $KILLICK --session -- cat; $KILLICK --session -- touch never; echo "ends $?"',
    )
    expect(await text(child.stdout!)).toMatch(/^in\r\n[\s\S]*touch[\s\S]*ends 126\r\n$/)
    expect(existsSync(join(root, 'never'))).toBe(false)
    const [run, end, , failed] = await eventsIn(spool)
    expect(run!.metadata.session).toBeUndefined()
    expect(end!.metadata.stdin).toEqual({ bytes: 3, sha256: sha256('in\n') })
    expect(failed!.metadata).toMatchObject({ result: 'not_started', error: expect.stringMatching(/^E/) })
  })

  test('a chunk that cannot be recorded ends the session; one that observes goes on, and the end counts it', async () => {
    const session = async (goesOn: boolean) => {
      const code = `
        import { executeSession } from ${JSON.stringify(SESSION)}
        const signals = { to() {}, end() {} }
        const way = { folder: ${JSON.stringify(root)}, name: '${goesOn}.cast', size: { width: 80, height: 24 },
          record: async ({ chunk }) => { if (chunk === 0) throw new Error('full') }, failed: () => ${goesOn} }
        const command = ['sh', '-c', 'echo first; sleep 1.5; echo second; ${goesOn ? 'exit 3' : 'exec sleep 60'}']
        process.stderr.write(JSON.stringify(await executeSession({ command, pass: new Set() }, signals, way)))`
      const child = spawn(process.execPath, ['--input-type=module', '-e', code], { stdio: ['ignore', 'pipe', 'pipe'] })
      child.stdout.resume()
      // script has said something before, where it was ended.
      return JSON.parse((await text(child.stderr)).split('\n').at(-1)!) as Fields
    }
    const [ended, went] = await Promise.all([session(false), session(true)])
    expect(ended.how).toEqual({ result: 'signalled', signal: 'SIGTERM' })
    expect(ended.session.unrecordedChunks).toBeGreaterThanOrEqual(1)
    expect(went).toMatchObject({ how: { result: 'exited', exitCode: 3 }, session: { chunks: 2, unrecordedChunks: 1 } })
    expect(readFileSync(join(root, 'true.cast'), 'utf8')).toContain('second')
  })

  test('chunks stay at their places in the file, though a full disk took a part of one', async () => {
    const disk = smallDisk(1)
    try {
      const code = `
        import { closeSync, openSync, rmSync, writeSync } from 'node:fs'
        import { executeSession } from ${JSON.stringify(SESSION)}
        const ballast = ${JSON.stringify(join(disk.folder, 'ballast'))}
        const fill = () => {
          const file = openSync(ballast, 'a')
          try { for (;;) writeSync(file, Buffer.alloc(4096)) } catch { closeSync(file) }
        }
        const chunks = []
        const signals = { to() {}, end() {} }
        const way = { folder: ${JSON.stringify(disk.folder)}, name: 'x.cast', size: { width: 80, height: 24 },
          record: async (chunk) => { chunks.push(chunk); if (chunks.length === 1) fill() },
          failed: () => { rmSync(ballast); return true } }
        const command = ['sh', '-c', 'echo first; sleep 1.5; head -c 9000 /dev/zero | tr "\\0" x; sleep 1.5; echo third']
        await executeSession({ command, pass: new Set() }, signals, way)
        process.stderr.write(JSON.stringify(chunks))`
      const child = spawn(process.execPath, ['--input-type=module', '-e', code], { stdio: ['ignore', 'pipe', 'pipe'] })
      child.stdout.resume()
      const chunks = JSON.parse((await text(child.stderr)).split('\n').at(-1)!) as Fields[]
      const file = readFileSync(join(disk.folder, 'x.cast'))
      expect(chunks.length).toBeGreaterThan(1)
      for (const { cast } of chunks)
        expect(sha256(file.subarray(cast.offset, cast.offset + cast.bytes))).toBe(cast.sha256)
      expect(file.toString()).toContain('third')
    } finally {
      disk.remove()
    }
  })
})
