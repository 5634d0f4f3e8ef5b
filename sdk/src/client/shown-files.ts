// Files in the spool for other tools: the log's newest note, the newest receipts, the log's key, and evidence of a fork. The
// first three are copies: the journal holds the truth, and each opening of the spool writes them again.
import { existsSync } from 'node:fs'
import { open, rename, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { printReceipt } from '../core/receipt.ts'
import { syncFile } from '../node/sync.ts'
import { syncDirectory, writeAll } from './segment.ts'
import type { State } from './state.ts'

/** C2SP signed note: the largest checkpoint that the recorder has accepted. */
export const NOTE_FILE = 'checkpoint'
/** Receipts with their headers, one JSON document a line, oldest first. */
export const RECEIPTS_FILE = 'receipts.ndjson'
/** C2SP verifier key with which the receipts were checked. */
export const KEY_FILE = 'log-key'
/** killick-fork/1. */
export const FORK_FILE = 'log-forked.json'

export class ShownFiles {
  readonly #dir: string
  #next: State | null = null
  #writing: Promise<void> | null = null

  constructor(dir: string) {
    this.#dir = dir
  }

  /** Writes the files in the background; of several states that arrive meanwhile, only the last. */
  show(state: State): void {
    if (state.log === null) return
    this.#next = state
    this.#writing ??= this.#write()
  }

  async settled(): Promise<void> {
    await this.#writing
  }

  async #write(): Promise<void> {
    for (let state = this.#next; state; state = this.#next) {
      this.#next = null
      const receipts = state.receipts.map((receipt) => `${printReceipt(receipt)}\n`).join('')
      try {
        await this.#replace(KEY_FILE, `${state.log!.key}\n`)
        await this.#replace(RECEIPTS_FILE, receipts)
        await this.#replace(NOTE_FILE, state.checkpoint!.note)
      } catch {
        // For instance a full disk. The files are copies, and the next receipt writes them again.
      }
    }
    this.#writing = null
  }

  async #replace(name: string, text: string): Promise<void> {
    const file = join(this.#dir, name)
    await writeFile(`${file}.tmp`, text, { mode: 0o600 })
    await rename(`${file}.tmp`, file)
  }
}

/** The file with evidence in `dir`, or null. */
export function findEvidence(dir: string): string | null {
  const file = join(dir, FORK_FILE)
  return existsSync(file) ? file : null
}

/** Writes evidence, either whole or not at all. @returns the file, durable */
export async function keepEvidence(dir: string, text: string): Promise<string> {
  const file = join(dir, FORK_FILE)
  const write = async () => {
    const handle = await open(`${file}.tmp`, 'w', 0o600)
    try {
      await writeAll(handle, Buffer.from(text), 0)
      await syncFile(handle)
    } finally {
      await handle.close()
    }
  }
  // If the disk is full, evidence is worth more than the spool's reserve.
  await write().catch(async () => {
    await unlink(join(dir, 'reserve'))
    await write()
  })
  await rename(`${file}.tmp`, file)
  await syncDirectory(dir)
  return file
}
