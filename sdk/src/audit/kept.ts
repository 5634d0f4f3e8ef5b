/**
 * What an audit keeps of what it has read, in a file of the auditor's: so that one that was interrupted goes on, and the next need not
 * begin at the log's first entry. Whoever can write that file can make an audit pass, as with pins; against what is broken by accident
 * there is a checksum.
 */
import { createHash, type Hash as Hashing } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { chmod, type FileHandle, mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { type Checkpoint, parseCheckpoint } from '../core/checkpoint.ts'
import { KillickError } from '../core/errors.ts'
import { type Hash, parseHash, printHash } from '../core/hash.ts'
import { isObject, type JsonValue } from '../core/json.ts'
import type { Anchor } from '../core/proof.ts'
import { lockDirectory } from '../node/lock.ts'
import { syncFile } from '../node/sync.ts'
import type { KeptFault } from './findings.ts'
import type { KeptKeys } from './keys.ts'
import type { KeptTree } from './tree.ts'

/** The end of a stream: place of its next event, leaf hash of its last event, and of the header of its last batch. */
export type Head = { readonly seq: number; readonly prev: Hash | undefined; readonly batchPrev: Hash }

/** Entries that earlier audits have read, and this one has not. Times in ISO 8601: from when to when they were read. */
export type EarlierEntries = {
  /** They are the log's first; `events` are in them. */
  readonly size: number
  readonly events: number
  /** Root of the log with so many entries, base64url. */
  readonly root: string
  readonly begun: string
  readonly ended: string
}

/** An entry of the ledger's own stream, in wire form: the audit reads those again. `firstEvent`: how many events come before it in the log. */
export type OwnEntry = { readonly logIndex: number; readonly firstEvent: number; readonly wire: string }

/** An audit at a place of the log that an anchor covers. */
export type KeptAudit = {
  readonly origin: string
  /** What it was held against; another pin makes another audit. SHA-256, base64url. */
  readonly pins: string
  /** Ids of its additional checks. */
  readonly checks: readonly string[]
  /** When it began, and how many events and signatures it has checked since. ISO 8601 */
  readonly begun: string
  readonly events: number
  readonly signatures: number
  /** How many events it found dropped; absent in what was kept by a version that knew of none. */
  readonly dropped?: number
  readonly earlier: EarlierEntries | null
  /** What it has read: size and root, base64url, of the log up to there, when (ISO 8601), and how many events the log has up to there. */
  readonly read: string
  readonly size: number
  readonly root: string
  readonly firstEvent: number
  readonly tree: KeptTree
  readonly keys: KeptKeys
  readonly faults: readonly KeptFault[]
  /** Anchors of the log up to there: they said when something was in it. */
  readonly anchors: readonly Anchor[]
  readonly heads: ReadonlyMap<string, Head>
  /** What additional checks keep, by their ids. */
  readonly states: ReadonlyMap<string, readonly JsonValue[]>
  readonly own: readonly OwnEntry[]
}

type Front = Omit<KeptAudit, 'anchors' | 'heads' | 'states' | 'own'>

const FORMAT = 'killick-audit/1'
/** The audit that is under way, and the last that ended without a fault. */
const NAMES = { current: 'under-way', last: 'last' } as const
/** The checkpoint of that last one, as the log signed it. */
const NOTE = 'checkpoint'
const MAX_NOTE_BYTES = 1 << 20
const CHUNK_CHARS = 1 << 18

/**
 * Makes a folder of an auditor's this audit's alone, until the returned function is called or the process ends.
 * @throws KillickError `audit_folder_failed`, also if another audit has it
 */
export async function takeFolder(folder: string): Promise<() => void> {
  const refused = (why: string) => new KillickError('audit_folder_failed', `${folder} ${why}`, { folder })
  const faults = {
    locked: (_: string, by: string) =>
      refused(`is in use by another audit${by && ` (${by})`}; give each audit a folder of its own`),
    noSockets: (_: string, why: string) => refused(why),
  }
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 })
    return await lockDirectory(folder, { faults })
  } catch (error) {
    throw failed(folder, error)
  }
}

/** A folder of an auditor's, which is this audit's alone: `takeFolder`. */
export class AuditFolder {
  readonly #folder: string

  constructor(folder: string) {
    this.#folder = folder
  }

  /** @throws KillickError `audit_folder_failed` if it cannot be read, or holds something else */
  async read(which: keyof typeof NAMES): Promise<KeptAudit | null> {
    const file = join(this.#folder, NAMES[which])
    try {
      return await readKept(file)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
      throw failed(file, error)
    }
  }

  /** The signed checkpoint of the last audit without a fault. @throws KillickError `audit_folder_failed` if it cannot be read */
  async readNote(): Promise<{ note: string; checkpoint: Checkpoint } | null> {
    const file = join(this.#folder, NOTE)
    try {
      if ((await stat(file)).size > MAX_NOTE_BYTES) throw failed(file, new Error('it is too large for a checkpoint'))
      const note = await readFile(file, 'utf8')
      return { note, checkpoint: parseCheckpoint(note) }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
      throw failed(file, error)
    }
  }

  /** @throws KillickError `audit_folder_failed` */
  writeNote(note: string): Promise<void> {
    return this.#replace(NOTE, (handle) => handle.writeFile(note))
  }

  /** Replaces what is kept of the audit that is under way, once all of it is on the disk. @throws KillickError `audit_folder_failed` */
  write(kept: KeptAudit): Promise<void> {
    return this.#replace(NAMES.current, (handle) => writeKept(handle, kept))
  }

  async #replace(name: string, write: (handle: FileHandle) => Promise<void>): Promise<void> {
    const file = join(this.#folder, name)
    try {
      await mkdir(this.#folder, { recursive: true, mode: 0o700 })
      const handle = await open(`${file}.part`, 'w', 0o600)
      try {
        await write(handle)
        await syncFile(handle)
      } finally {
        await handle.close()
      }
      // A file that was there keeps its mode.
      await chmod(`${file}.part`, 0o600)
      await rename(`${file}.part`, file)
      await this.#sync()
    } catch (error) {
      throw failed(file, error)
    }
  }

  /** Ends the audit that is under way. @param isSound whether the next may begin where it was kept last @throws KillickError `audit_folder_failed` */
  async end(isSound: boolean): Promise<void> {
    const file = join(this.#folder, NAMES.current)
    try {
      if (isSound) await rename(file, join(this.#folder, NAMES.last))
      else await rm(file)
      await this.#sync()
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw failed(file, error)
    }
  }

  /** Only now is a name on the disk too. Where folders cannot be opened, the system sees to it. */
  async #sync(): Promise<void> {
    const handle = await open(this.#folder, 'r').catch(() => null)
    if (handle) await syncFile(handle).catch(() => {})
    await handle?.close()
  }
}

function failed(file: string, error: unknown): KillickError {
  if (error instanceof KillickError && error.code === 'audit_folder_failed') return error
  return new KillickError('audit_folder_failed', `${file}: ${(error as Error).message}`, { file })
}

function* linesOf({ anchors, heads, states, own, ...front }: KeptAudit): Generator<string> {
  yield JSON.stringify({ format: FORMAT, ...front })
  for (const anchor of anchors) yield JSON.stringify(['anchor', { ...anchor, root: printHash(anchor.root) }])
  for (const [name, { seq, prev, batchPrev }] of heads)
    yield JSON.stringify(['head', name, seq, prev === undefined ? null : printHash(prev), printHash(batchPrev)])
  for (const [check, values] of states) for (const value of values) yield JSON.stringify(['state', check, value])
  for (const { logIndex, firstEvent, wire } of own) yield JSON.stringify(['own', logIndex, firstEvent, wire])
}

async function writeKept(handle: FileHandle, kept: KeptAudit): Promise<void> {
  const hash = createHash('sha256')
  let chunk = ''
  const flush = async () => {
    hash.update(chunk)
    await handle.writeFile(chunk)
    chunk = ''
  }
  for (const line of linesOf(kept)) {
    chunk += `${line}\n`
    if (chunk.length >= CHUNK_CHARS) await flush()
  }
  await flush()
  await handle.writeFile(`${JSON.stringify(['end', endOf(hash)])}\n`)
}

const endOf = (hash: Hashing) => hash.digest('base64url')

async function readKept(file: string): Promise<KeptAudit> {
  const broken = (what: string) => new KillickError('audit_folder_failed', `${file}: ${what}`, { file })
  const input = createReadStream(file, { encoding: 'utf8', highWaterMark: CHUNK_CHARS })
  const hash = createHash('sha256')
  const anchors: Anchor[] = []
  const heads = new Map<string, Head>()
  const states = new Map<string, JsonValue[]>()
  const own: OwnEntry[] = []
  let front: Front | null = null
  let isWhole = false
  for await (const line of splitLines(input)) {
    if (isWhole) throw broken('something stands behind its end')
    const value = parseLine(line)
    if (Array.isArray(value) && value[0] === 'end') {
      if (value[1] !== endOf(hash)) throw broken('it was changed since it was written')
      isWhole = true
      continue
    }
    hash.update(`${line}\n`)
    if (front === null) {
      if (!isObject(value) || value.format !== FORMAT) throw broken(`it is not what an audit keeps (${FORMAT})`)
      const { format: _, ...rest } = value
      front = rest as unknown as Front
      continue
    }
    take(value)
  }
  if (front === null || !isWhole) throw broken('it is cut')
  return { ...front, anchors, heads, states, own }

  function take(value: JsonValue | undefined): void {
    const [kind, ...parts] = Array.isArray(value) ? value : []
    if (kind === 'anchor') {
      const anchor = parts[0] as unknown as Anchor
      anchors.push({ ...anchor, root: parseHash(anchor.root)! })
    } else if (kind === 'head') {
      const [name, seq, prev, batchPrev] = parts as [string, number, string | null, string]
      heads.set(name, { seq, prev: parseHash(prev) ?? undefined, batchPrev: parseHash(batchPrev)! })
    } else if (kind === 'state') {
      const [check, state] = parts as [string, JsonValue]
      states.set(check, states.get(check) ?? [])
      states.get(check)!.push(state)
    } else if (kind === 'own') {
      const [logIndex, firstEvent, wire] = parts as [number, number, string]
      own.push({ logIndex, firstEvent, wire })
    }
  }
}

/** Lines end with a line feed and with nothing else. */
async function* splitLines(chunks: AsyncIterable<string>): AsyncGenerator<string> {
  let rest = ''
  for await (const chunk of chunks) {
    const parts = (rest + chunk).split('\n')
    rest = parts.pop()!
    yield* parts
  }
  if (rest !== '') yield rest
}

/** Undefined if it is no JSON. What comes of it then is refused with the checksum. */
function parseLine(line: string): JsonValue | undefined {
  try {
    return JSON.parse(line) as JsonValue
  } catch {
    return undefined
  }
}
