// The spools of commands that run at the same time: `<spool>/run/0`, `1`, … Each start takes the lowest that nobody holds. They are
// apart from the spools of applications, so that only programs like this one write to their streams.
import { existsSync } from 'node:fs'
import { mkdir, readdir } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { type AuditLog, type AuditLogOptions, openAuditLog } from '../../client/open.ts'
import { hasPlace, isLocked, leftBehind, openFirst } from '../../client/workers.ts'
import { NO_SPOOL } from '../../config/config.ts'
import { KillickError } from '../../core/errors.ts'
import { NOTE_FILE, settleCommand } from './under-way.ts'

/** The folder with the spools of commands, beside or below that of the applications. */
export function runFolder(spool: string): string {
  if (spool === NO_SPOOL)
    throw new KillickError('option_invalid', 'killick run needs a spool on disk; memory ends with the program', {
      option: 'spool',
    })
  return join(hasPlace(basename(spool)) ? dirname(spool) : spool, 'run')
}

export type OwnSpool = { readonly log: AuditLog; readonly dir: string }

/** Opens the first free spool, and settles what its last holder left open. */
export async function openOwn(folder: string, options: Omit<AuditLogOptions, 'spool'>): Promise<OwnSpool> {
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const template = join(folder, '{worker}')
  const { spool: log, worker } = await openFirst(template, (dir) => openAuditLog({ ...options, spool: dir }))
  const dir = join(folder, String(worker))
  try {
    await settleCommand(dir, log)
  } catch (error) {
    await log.close({ timeoutMs: 0 })
    throw error
  }
  return { log, dir }
}

/** Records the ends of commands in other spools that nobody holds any more. @param onError for a spool that cannot be settled */
export async function settleOthers(
  folder: string,
  own: string,
  options: Omit<AuditLogOptions, 'spool'>,
  onError: (error: Error) => void,
): Promise<void> {
  for (const name of await readdir(folder)) {
    const dir = join(folder, name)
    if (!/^\d+$/.test(name) || dir === own || !existsSync(join(dir, NOTE_FILE))) continue
    await withSpool(dir, options, (log) => settleCommand(dir, log)).catch(onError)
  }
}

/** Sends what other programs left in spools, one after another, until `over` says so; what is not accepted by then stays there. */
export async function sendOthers(
  folder: string,
  own: string,
  options: Omit<AuditLogOptions, 'spool'>,
  over: AbortSignal,
  onError: (error: Error) => void,
): Promise<void> {
  for (const dir of await leftBehind(join(folder, '{worker}'), Number(basename(own)))) {
    if (over.aborted) return
    await withSpool(dir, options, async (log) => {
      // Its holder may have been killed just now, and a start that comes meanwhile finds the spool held by us.
      await settleCommand(dir, log)
      const end = new Promise<void>((resolve) => over.addEventListener('abort', () => resolve(), { once: true }))
      if (log.status.pending > 0 && !over.aborted) await Promise.race([log.flush(), end])
    }).catch(onError)
  }
}

/** Nothing is done in a spool that a live program holds. */
async function withSpool(
  dir: string,
  options: Omit<AuditLogOptions, 'spool'>,
  work: (log: AuditLog) => Promise<unknown>,
): Promise<void> {
  let log: AuditLog
  try {
    log = await openAuditLog({ ...options, spool: dir })
  } catch (error) {
    if (isLocked(error)) return
    throw error
  }
  try {
    await work(log)
  } finally {
    await log.close({ timeoutMs: 0 })
  }
}
