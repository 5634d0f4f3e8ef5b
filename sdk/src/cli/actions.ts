import { readFileSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { BRAND } from '../actions/brand.ts'
import type { Actions } from '../actions/define.ts'
import { jsonSchemaOfEvents, markdownOf } from '../actions/describe.ts'
import type { ActionRules } from '../core/catalogue.ts'
import { KillickError } from '../core/errors.ts'
import { isSourceName } from '../core/event.ts'
import type { JsonValue } from '../core/json.ts'
import { checkMetadataSchema } from '../core/metadata-schema.ts'
import { askJson } from '../http/ask-json.ts'
import { accessOf, isTokenRefusal, withToken } from './access.ts'
import { type Args, type Command, EXIT, readArgs, required, UsageError } from './command.ts'
import { readLogKey } from './pins.ts'
import { readLog } from './register.ts'
import { ACTIONS } from './table/recording.ts'
import { count, err, json, out, own, text } from './terminal.ts'

type Given = Args<typeof ACTIONS.options>
type Found = { rules: ActionRules; version: string | null }

export const actions: Command = {
  run: async (args) => {
    const given = readArgs(ACTIONS, args)
    const { positionals, values } = given
    const isPush = positionals[0] === 'push'
    if (!isPush && positionals.length > 1) throw new UsageError(`Unexpected argument ${positionals[1]}`)
    const module = positionals[isPush ? 1 : 0]
    if (module === undefined && !(isPush && values.release)) throw new UsageError('<module> is missing')
    if (isPush) return push(given, module === undefined ? null : await load(module, values.export))
    const misplaced = (['enforce', 'only', 'release'] as const).find((name) => values[name])
    if (misplaced !== undefined) throw new UsageError(`--${misplaced} is for killick actions push`)
    return write(given, await load(module!, values.export))
  },
}

/** The catalogue that a module exports, by its name if there are several. */
async function load(module: string, name: string | undefined): Promise<Found> {
  let exports: Record<string, unknown>
  try {
    exports = await import(pathToFileURL(resolve(module)).href)
  } catch (error) {
    throw new UsageError(`${module} cannot be loaded: ${(error as Error).message}`)
  }
  const found = Object.entries(exports).filter(([, value]) => (value as Partial<Actions> | null)?.[BRAND] === true)
  const wanted = name === undefined ? found : found.filter(([each]) => each === name)
  const distinct = new Set(wanted.map(([, value]) => value))
  if (distinct.size === 0)
    throw new UsageError(
      `${module} exports no catalogue${name === undefined ? '' : ` named ${name}`}: what defineActions gives`,
    )
  if (distinct.size > 1)
    throw new UsageError(
      `${module} exports several catalogues: ${found.map(([each]) => each).join(', ')}; choose one with --export`,
    )
  const [catalogue] = distinct as Set<Actions>
  return { rules: catalogue!.rules(), version: catalogue!.version }
}

function write({ values }: Given, { rules, version }: Found): number {
  const page = markdownOf(rules, version)
  const schema = `${JSON.stringify(jsonSchemaOfEvents(rules, version), null, 2)}\n`
  const files = [
    [values.markdown, page],
    [values['json-schema'], schema],
  ].filter((file): file is [string, string] => file[0] !== undefined)
  if (values.check && files.length === 0) throw new UsageError('--check needs --markdown or --json-schema')
  if (values.check) {
    const stale = files.filter(([path, content]) => readIfThere(path) !== content).map(([path]) => path)
    for (const path of stale) err(text`${path} is not what the catalogue says.`)
    return stale.length === 0 ? EXIT.ok : EXIT.failed
  }
  for (const [path, content] of files) writeFileSync(path, content)
  if (values.json) out(json({ version, actions: rules }))
  else if (files.length === 0) out(own(page.trimEnd()))
  else err(text`Wrote ${files.map(([path]) => path).join(' and ')}.`)
  return EXIT.ok
}

function readIfThere(path: string): string | null {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}

async function push(given: Given, found: Found | null): Promise<number> {
  const { values } = given
  const source = required(ACTIONS, given, 'source')
  if (!isSourceName(source)) throw new UsageError(`--source ${source}: 1 to 64 of a-z, 0-9, dots, underscores, hyphens`)
  if (found?.version === null)
    throw new UsageError('The catalogue has no version: defineActions({ … }, { version: … })')
  const misplaced = (['markdown', 'json-schema', 'check'] as const).find((name) => values[name])
  if (misplaced !== undefined) throw new UsageError(`--${misplaced} is not for push`)
  if ([values.enforce, values.only, values.release].filter(Boolean).length > 1)
    throw new UsageError('--enforce, --only and --release exclude each other')
  const access = withToken(accessOf(ACTIONS, given, 'KILLICK_ADMIN_TOKEN'))
  await readLog(access.url, values['log-key'] === undefined ? null : readLogKey(values['log-key']))
  try {
    const enforced = await enforcedBy(given, access, source, found?.version ?? null)
    const answer = await askJson(access, 'POST', '/v1/catalogues', {
      source,
      ...(found && { version: found.version, actions: found.rules }),
      ...(enforced && { enforced }),
    })
    if (values.json) out(json(answer))
    tell(source, found, answer)
    return EXIT.ok
  } catch (error) {
    if (!isTokenRefusal(error)) throw error
    const { message, details } = error as KillickError
    throw new KillickError('token_refused', `${message} Registering takes an admin token.`, details)
  }
}

/** The versions to hold the source to; null: as before. */
async function enforcedBy(
  { values }: Given,
  access: Parameters<typeof askJson>[0],
  source: string,
  version: string | null,
): Promise<string[] | null> {
  if (values.release) return []
  if (values.only) return [version!]
  if (!values.enforce) return null
  const { enforced } = await askJson(access, 'GET', `/v1/catalogues?source=${encodeURIComponent(source)}`)
  if (!Array.isArray(enforced)) throw new KillickError('answer_malformed')
  return [...new Set([...(enforced as string[]), version!])]
}

function tell(source: string, found: Found | null, answer: { [member: string]: JsonValue }): void {
  const { logIndex, enforced } = answer
  const at = logIndex === null ? 'nothing was changed' : `entry ${logIndex} of the log says so`
  if (found) err(text`Version ${found.version!} of the catalogue of ${source} is registered: ${at}.`)
  err(
    Array.isArray(enforced) && enforced.length > 0
      ? text`${source} is held to ${enforced.join(', ')}: events that do not fit are refused.`
      : text`${source} is held to no catalogue${found ? '' : text` any more: ${at}`}.`,
  )
  const unchecked = found === null ? [] : uncheckedIn(found.rules)
  if (unchecked.length > 0)
    err(
      text`Not checked by the ledger, only by the recorder: ${unchecked.join(', ')} (${count(Object.keys(found!.rules).length, 'action')}).`,
    )
}

/** Keywords in the schemas that restrict, and that a ledger does not check. */
function uncheckedIn(rules: ActionRules): string[] {
  const all = Object.values(rules).flatMap(({ metadata }) =>
    metadata === null
      ? []
      : checkMetadataSchema(metadata, (path, why) => {
          throw new KillickError('catalogue_invalid', `${path} ${why}`)
        }),
  )
  return [...new Set(all)].sort()
}
