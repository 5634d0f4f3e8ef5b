import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { checkMcpConfig, recordStdio } from '@killick/gateway'
import { generateKey, openAuditLog, writeKeyFile } from '@killick/sdk'
import { type JsonObject, type ParsedEvent, parseEvent } from '@killick/sdk/core'
import { onTestFinished } from 'vitest'
import { NOWHERE } from '../support.ts'

const SERVER = fileURLToPath(new URL('scripted-server.mjs', import.meta.url))

// biome-ignore lint/suspicious/noExplicitAny: tests look into it
export type Told = any

export type World = {
  folder: string
  settings: JsonObject
  /** The scripted server, as a command. */
  command: string[]
  /** What the server was sent, line by line. */
  seen(): string[]
  /** Sets what the server answers to tools/list. */
  tools(list: object[]): void
  /** Everything recorded, in order; no recorder may run. @param spool its folder, if the settings name another */
  events(spool?: string): Promise<ParsedEvent[]>
}

/** A key, a spool and a configuration in a folder of their own. Nothing leaves the spool, so all of it can be read there. */
export async function world(settings: JsonObject = {}): Promise<World> {
  const folder = mkdtempSync(join(tmpdir(), 'killick-mcp-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  await writeKeyFile(join(folder, 'key.json'), generateKey())
  const [log, tools] = [join(folder, 'seen'), join(folder, 'tools.json')]
  writeFileSync(log, '')
  const config: JsonObject = {
    ...{ url: NOWHERE, source: 'agents', key: 'key.json', spool: 'spool' },
    ...settings,
    limits: { drainMs: 0, graceMs: 10_000, ...(settings.limits as JsonObject) },
  }
  return {
    folder,
    settings: config,
    command: [process.execPath, SERVER, log, tools],
    seen: () => readFileSync(log, 'utf8').split('\n').filter(Boolean),
    tools: (list) => writeFileSync(tools, JSON.stringify(list)),
    async events(name = 'spool') {
      const found: ParsedEvent[] = []
      const spool = await openAuditLog({
        ...{ url: NOWHERE, source: 'agents', key: join(folder, 'key.json'), spool: join(folder, name) },
        onError: () => {},
        onFound: (event) => void found.push(parseEvent(event)),
      })
      await spool.close({ timeoutMs: 0 })
      return found
    },
  }
}

export type Session = {
  send(message: object | string): void
  /** The next message of the server that fits; messages before it are kept. */
  next(fits?: (message: Told) => boolean): Promise<Told>
  /** Calls a tool and returns the answer. */
  call(name: string, args?: object, more?: object): Promise<Told>
  initialize(): Promise<Told>
  /** Everything that came from the recorder, as bytes. */
  output(): Buffer
  said: string[]
  stop(signal: string): void
  /** Ends the client's input, and waits for the end. */
  end(): Promise<number>
  ended: Promise<number>
}

/** A session through a recorder in this process. */
export function begin(world: World, command: readonly string[] = world.command, settings: JsonObject = {}): Session {
  const [stdin, stdout] = [new PassThrough(), new PassThrough()]
  const stop = new AbortController()
  const chunks: Buffer[] = []
  const said: string[] = []
  const messages: Told[] = []
  const waiting: {
    fits: (message: Told) => boolean
    resolve: (message: Told) => void
    reject: (why: unknown) => void
  }[] = []
  let text = ''
  stdout.on('data', (chunk: Buffer) => {
    chunks.push(chunk)
    const lines = (text + chunk).split('\n')
    text = lines.pop()!
    for (const line of lines) {
      let message: Told
      try {
        message = JSON.parse(line)
      } catch {
        message = line
      }
      const at = waiting.findIndex(({ fits }) => fits(message))
      if (at < 0) messages.push(message)
      else waiting.splice(at, 1)[0]!.resolve(message)
    }
  })
  const config = checkMcpConfig({ ...world.settings, ...settings }, world.folder)
  const ended = recordStdio(config, command, { stdin, stdout, say: (line) => said.push(line), stop: stop.signal })
  const giveUp = (why: unknown) => waiting.splice(0).map(({ reject }) => reject(why))
  ended.then((code) => giveUp(new Error(`the session has ended (${code})`)), giveUp)
  let id = 0
  const session: Session = {
    send: (message) => void stdin.write(typeof message === 'string' ? message : `${JSON.stringify(message)}\n`),
    next: (fits = () => true) =>
      new Promise((resolve, reject) => {
        const at = messages.findIndex(fits)
        if (at >= 0) resolve(messages.splice(at, 1)[0])
        else waiting.push({ fits, resolve, reject })
      }),
    call(name, args = {}, more = {}) {
      const own = ++id
      session.send({ jsonrpc: '2.0', id: own, method: 'tools/call', params: { name, arguments: args, ...more } })
      return session.next((message) => message.id === own && message.method === undefined)
    },
    initialize() {
      const params = { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'tester', version: '2.1' } }
      session.send({ jsonrpc: '2.0', id: 'init', method: 'initialize', params })
      return session.next((message) => message.id === 'init')
    },
    output: () => Buffer.concat(chunks),
    said,
    stop: (signal) => stop.abort(signal),
    end() {
      stdin.end()
      return ended
    },
    ended,
  }
  return session
}

/** What the tests look at in an event. */
export const told = ({ fields }: ParsedEvent): Told => {
  const { action, actor, targets, outcome, context, metadata, changes, arguments: args, result } = fields as Told
  return { action, actor, targets, outcome, context, mcp: metadata.mcp, metadata, changes, args, result }
}

export const actions = (events: readonly ParsedEvent[]): string[] => events.map(({ fields }) => fields.action as string)

export const find = (events: readonly ParsedEvent[], action: string): Told[] =>
  events.filter(({ fields }) => fields.action === action).map(told)
