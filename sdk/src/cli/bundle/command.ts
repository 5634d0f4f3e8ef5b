import { randomBytes } from 'node:crypto'
import { existsSync, rmSync } from 'node:fs'
import { link, rename, rm } from 'node:fs/promises'
import { constants } from 'node:os'
import { dirname } from 'node:path'
import { KillickError } from '../../core/errors.ts'
import { makeBundle } from '../../make-bundle/make.ts'
import { bundleRequest } from '../../make-bundle/request.ts'
import { syncFolder } from '../../make-bundle/writer.ts'
import { accessOf, openAccess } from '../access.ts'
import { type Command, EXIT, integer, readArgs, UsageError } from '../command.ts'
import { queryOf } from '../conditions.ts'
import { inputError, isSystemError } from '../input.ts'
import { BUNDLE } from '../table/bundle.ts'
import type { ValuesOf } from '../table/entry.ts'
import { count, err, jsonLine, out, progress, text } from '../terminal.ts'
import { scopeWords } from './words.ts'

export const bundle: Command = {
  run: async (args) => {
    const given = readArgs(BUNDLE, args)
    const { values } = given
    const { out: file } = values
    if (file === undefined) throw new UsageError('A bundle is a file: give --out <file>')
    const request = requestOf(values)
    const access = accessOf(BUNDLE, given)
    if (existsSync(file)) throw taken(file)
    // Another command may be given the same name meanwhile.
    const draft = `${file}.${randomBytes(4).toString('hex')}`
    let events = 0
    const shown = progress(() => `${count(events, 'event')} written`)
    const onProgress = (now: { events: number }) => {
      events = now.events
      shown.step()
    }
    const release = withoutDraft(draft)
    const made = await makeBundle(openAccess(access), request, draft, {
      url: access.url,
      isBare: values.bare,
      onProgress,
    })
      .then(async (done) => {
        await nameIt(draft, file)
        return done
      })
      .catch((error) => {
        throw isSystemError(error) ? inputError(error, file) : error
      })
      .finally(() => {
        release()
        shown.done()
      })
    if (values.json) out(jsonLine({ file, ...made }))
    else {
      err(
        text`${count(made.events, 'event')} in ${file} (${made.bytes.toLocaleString('en')} bytes), with those of the ledger itself that it needs: ${scopeWords(made.scope)}`,
      )
      if (made.dropped > 0)
        err(
          text`Not in it: ${count(made.dropped, 'event')} that retention policies have dropped, as the ledger’s log says`,
        )
      if (!made.isReached && made.scope.kind === 'source')
        err(
          text`Nothing was anchored since ${made.scope.until!}, so nobody can tell yet whether it holds all until then. Make it again once something was: an anchor needs an event that comes after it.`,
        )
      err(text`Check it, or let somebody else: killick verify ${file}`)
    }
    return EXIT.ok
  },
}

const taken = (file: string) => new UsageError(`${file} exists already and was not overwritten`)

const ENDING = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/**
 * Whoever ends the command leaves no draft behind: it holds events, and nobody would look for it under its name.
 * @returns what is to be called when there is none any more
 */
function withoutDraft(draft: string): () => void {
  const leave = (signal: NodeJS.Signals) => {
    release()
    for (const left of [`${draft}.part`, draft]) rmSync(left, { force: true })
    // As if nobody had listened. The first process of a container does not end by that.
    process.kill(process.pid, signal)
    process.exit(128 + constants.signals[signal])
  }
  const release = () => {
    for (const signal of ENDING) process.off(signal, leave)
  }
  for (const signal of ENDING) process.on(signal, leave)
  return release
}

/** Gives a file that is whole its name, unless another has that by now. */
async function nameIt(draft: string, file: string): Promise<void> {
  try {
    await link(draft, file).catch(async (error: NodeJS.ErrnoException) => {
      // Not every file system has links.
      if (error.code === 'EEXIST' || existsSync(file)) throw taken(file)
      await rename(draft, file)
    })
  } finally {
    await rm(draft, { force: true })
  }
  await syncFolder(dirname(file))
}

function requestOf(values: ValuesOf<typeof BUNDLE.options>): ReturnType<typeof bundleRequest> {
  const place = (name: 'first' | 'last') => (values[name] === undefined ? undefined : integer(values[name], name, 0))
  const conditions = Object.fromEntries(new URLSearchParams(queryOf(values).slice(1)))
  try {
    return bundleRequest({ ...conditions, first: place('first'), last: place('last') })
  } catch (error) {
    if (!(error instanceof KillickError)) throw error
    throw new UsageError(error.message)
  }
}
