import { parseSourceRow, readPages, type SourceRow } from '../audit/answers.ts'
import { publicJwk, readKeyFile } from '../client/key.ts'
import { KillickError } from '../core/errors.ts'
import { isObject, parseJson } from '../core/json.ts'
import { type PublicJwk, parsePublicJwk, thumbprint } from '../core/jwk.ts'
import { printTime } from '../core/time.ts'
import { accessOf, openAccess } from './access.ts'
import { type Command, EXIT, readArgs, UsageError } from './command.ts'
import { readOption } from './input.ts'
import { KEYS } from './table/reading.ts'
import { columns, err, jsonLine, out, type Printed, paint } from './terminal.ts'

const PAGE = 500

export const keys: Command = {
  run: async (args) => {
    const given = readArgs(KEYS, args)
    const { values } = given
    const own = values.key === undefined ? null : thumbprint(await readPublicKey(values.key))
    const api = openAccess(accessOf(KEYS, given))
    const path = values.source === undefined ? '/v1/sources' : `/v1/sources?source=${encodeURIComponent(values.source)}`
    const rows: SourceRow[] = []
    for await (const page of readPages(api, path, 'sources', () => PAGE, parseSourceRow)) rows.push(...page.rows)
    if (process.stdout.isTTY && !values.json) {
      if (rows.length === 0) out('No source is registered.')
      else
        out(
          columns(
            HEADS,
            rows.flatMap((row) => cellsOf(row, own)),
          ),
        )
    } else for (const row of rows) for (const line of linesOf(row, own)) out(jsonLine(line))
    if (own !== null && !rows.some((row) => row.keys.has(own)))
      err(`The key ${own} in ${values.key} is not among them: killick register registers it.`)
    return EXIT.ok
  },
}

/**
 * The public part of a key in a file.
 * @throws UsageError. @throws KillickError `key_invalid`; `key_unsafe` if it holds a private key that others can read
 */
export async function readPublicKey(file: string): Promise<PublicJwk> {
  const text = readOption(file, 'key', 'not a file')
  let value: unknown
  try {
    value = parseJson(text)
  } catch (error) {
    if (error instanceof KillickError) throw new UsageError(`--key ${file}: ${error.message}`)
    throw error
  }
  return isObject(value) && 'd' in value ? publicJwk(await readKeyFile(file)) : parsePublicJwk(value)
}

const HEADS = ['source', 'key (kid)', 'since entry', 'counts from', 'until', '']

const keysOf = ({ source, keys }: SourceRow, own: string | null) =>
  [...keys].map(([kid, { notBefore, notAfter, logIndex }]) => ({
    ...{ source, kid, logIndex, notBefore: printTime(notBefore), notAfter: printTime(notAfter) },
    yours: kid === own,
  }))

function cellsOf(row: SourceRow, own: string | null): Printed[][] {
  return keysOf(row, own).map(({ source, kid, logIndex, notBefore, notAfter, yours }) => [
    ...[source, kid, logIndex, notBefore ?? 'always', notAfter ?? 'always'],
    yours ? paint('green', 'yours') : '',
  ])
}

/** `yours` only where it is known which key is. */
const linesOf = (row: SourceRow, own: string | null) =>
  keysOf(row, own).map(({ yours, ...key }) => (own === null ? key : { ...key, yours }))
