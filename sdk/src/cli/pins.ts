// What a verifier pins on the command line, read the same way by `verify` and `audit`.
import { KillickError } from '../core/errors.ts'
import { parseJson } from '../core/json.ts'
import { type PublicJwk, parsePublicJwk } from '../core/jwk.ts'
import { parseVkey } from '../core/note.ts'
import { type PinnedLog, parsePinnedLog } from '../verify/trust.ts'
import { integer, UsageError } from './command.ts'
import { readOption } from './input.ts'

export const PIN_OPTIONS = {
  rpc: { type: 'string', multiple: true, default: [] as string[] },
  contract: { type: 'string' },
  'log-id': { type: 'string' },
  'chain-id': { type: 'string' },
  'log-key': { type: 'string', multiple: true, default: [] as string[] },
  'source-key': { type: 'string', multiple: true, default: [] as string[] },
  json: { type: 'boolean', default: false },
} as const

export const PIN_HELP = `  --rpc <url>           a node of the chain to ask; repeat to ask several, of which none may deny the anchor
  --contract <0x…>      the anchor contract you rely on, together with
  --log-id <0x…>          the id of the log in it and
  --chain-id <n>          the chain it is on (default: the chain of the first --rpc that answers)
  --log-key <vkey>      the log's verifier key (origin+hash+base64), or a file that holds it
  --source-key <name=jwk>  a public key of the source of that name: a JWK, or a file that holds one; repeatable`

/**
 * The caller must give the source's name, since a key without one would let its holder sign for every source. @throws UsageError
 * in terms of --source-key.
 */
export function readSourceKey(text: string): { source: string; jwk: PublicJwk } {
  const [, source, rest] = /^([a-z0-9][a-z0-9._-]{0,63})=(.+)$/s.exec(text) ?? []
  if (source === undefined || rest === undefined)
    throw new UsageError(`--source-key needs the name of the source before the key: <name>=${text}`)
  const isJson = rest.trimStart().startsWith('{')
  const json = isJson ? rest : readOption(rest, 'source-key')
  try {
    return { source, jwk: parsePublicJwk(parseJson(json)) }
  } catch (error) {
    if (!(error instanceof KillickError)) throw error
    throw new UsageError(`--source-key ${isJson ? '' : `${rest}: `}${error.message}`)
  }
}

/** A C2SP verifier key, given itself or as a file. @throws UsageError in terms of --log-key. */
export function readLogKey(text: string): string {
  const isVkey = (candidate: string) => {
    try {
      parseVkey(candidate)
      return true
    } catch (error) {
      // A type that is not supported: the key is skipped, and the lines about the log's key name it.
      return error instanceof KillickError && error.code === 'vkey_unsupported'
    }
  }
  if (isVkey(text)) return text
  const content = /^[^+]+\+[0-9a-f]{8}\+/.test(text) ? text : readOption(text, 'log-key').trim()
  if (!isVkey(content)) throw new UsageError('--log-key is not a verifier key, nor a file that holds one')
  return content
}

/** Stands for a chain that nobody has named: then none is asked, whichever it is. */
export const ANY_CHAIN = 1

const OPTION_OF: Record<string, string> = { chainId: 'chain-id', contract: 'contract', logId: 'log-id' }

/**
 * The pinned contract and log, or null if none was given. Only one of the two is an error, not a weaker check.
 * @param defaultChain the chain if --chain-id is left out
 */
export function readPinnedLog(
  values: { contract?: string | undefined; 'log-id'?: string | undefined; 'chain-id'?: string | undefined },
  defaultChain: number = ANY_CHAIN,
): PinnedLog | null {
  const { contract, 'log-id': logId, 'chain-id': chainId } = values
  if (contract === undefined && logId === undefined && chainId === undefined) return null
  const missing = contract === undefined ? 'contract' : logId === undefined ? 'log-id' : null
  if (missing !== null)
    throw new UsageError(
      `--${missing} is missing: contract and log id are pinned together (the operator publishes both; GET /v1/log shows them)`,
    )
  const chain = chainId === undefined ? defaultChain : integer(chainId, 'chain-id', 1)
  try {
    return parsePinnedLog({ chainId: chain, contract, logId })
  } catch (error) {
    if (!(error instanceof KillickError)) throw error
    throw new UsageError(`--${OPTION_OF[String(error.details.member)]} must be ${error.details.form}`)
  }
}
