// What a verifier pins on the command line, in a file or in killick.json, read the same way by `verify` and `audit`.
import { resolve } from 'node:path'
import type { FirstUse, KillickConfig } from '../config/config.ts'
import { parseSourceKey, parseTrust, type TrustFile } from '../config/trust-file.ts'
import { KillickError } from '../core/errors.ts'
import { isObject, parseJson } from '../core/json.ts'
import { parsePublicJwk } from '../core/jwk.ts'
import { parseVkey } from '../core/note.ts'
import { type PinnedKey, type PinnedLog, parsePinnedLog } from '../verify/trust.ts'
import { type Args, integer, UsageError } from './command.ts'
import { readOption } from './input.ts'
import type { PINS } from './table/options.ts'

type PinArgs = Pick<Args<typeof PINS>, 'values' | 'config'>
type PinKind = 'logKeys' | 'sourceKeys' | 'logs'

/** Who pinned something: the caller (options, the environment, a file named by them), or the killick.json that is there. */
export type Pinner = 'you' | { readonly file: string; readonly firstUse: FirstUse | null }

/** Pins of all kinds, and who pinned each. Kinds that nobody pinned are empty. */
export type PinSet = {
  readonly logKeys: readonly string[]
  readonly sourceKeys: readonly PinnedKey[]
  /** With their chains; empty if the log is in `unplaced`. */
  readonly logs: readonly PinnedLog[]
  /** A contract and log of which the caller did not say on which chain they are. */
  readonly unplaced: Omit<PinnedLog, 'chainId'> | null
  readonly rpcs: readonly string[]
  readonly confirmations: number | undefined
  readonly timeTolerance: number | undefined
  readonly by: { readonly [Kind in PinKind]: Pinner }
}

/**
 * Each kind of pin from the options, or else from --trust, the environment, the file of KILLICK_TRUST or killick.json, whichever
 * comes first and has that kind. With --trust, the last three count for nodes only.
 * @throws UsageError. @throws KillickError `trust_invalid`, `option_invalid`
 */
export function readPins({ values, config }: PinArgs): PinSet {
  const named = values.trust === undefined ? null : loadTrust(values.trust)
  const around = [ofEnvironment(), ...(process.env.KILLICK_TRUST ? [loadTrust(process.env.KILLICK_TRUST)] : [])]
  const mine = [ofOptions(values), ...(named ? [named] : around)]
  const kept = config === null ? [] : [{ ...NOTHING, ...config.pins, logKeys: keysOf(config) }]
  const counted = named ? mine : [...mine, ...kept]
  const choose = (kind: PinKind): Found => counted.find((pins) => has(pins, kind)) ?? NOTHING
  const by = (kind: PinKind): Pinner => {
    if (config === null || mine.some((pins) => has(pins, kind))) return 'you'
    // Only what a service says can be taken from it on first use; the source's key is the project's own.
    return { file: config.file, firstUse: kind === 'sourceKeys' ? null : (config.pins?.firstUse ?? null) }
  }
  const setting = (name: 'confirmations' | 'timeTolerance') => counted.find((pins) => pins[name] !== undefined)?.[name]
  const { logs, unplaced } = choose('logs')
  return {
    ...{ logKeys: choose('logKeys').logKeys, sourceKeys: choose('sourceKeys').sourceKeys },
    ...{ logs, unplaced: unplaced ?? null },
    rpcs: [...mine, ...around, ...kept].find(({ rpcs }) => rpcs.length > 0)?.rpcs ?? [],
    ...{ confirmations: setting('confirmations'), timeTolerance: setting('timeTolerance') },
    by: { logKeys: by('logKeys'), sourceKeys: by('sourceKeys'), logs: by('logs') },
  }
}

type Found = TrustFile & { readonly unplaced?: Omit<PinnedLog, 'chainId'> }

const NOTHING: Found = { sourceKeys: [], logKeys: [], logs: [], rpcs: [] }

const has = (pins: Found, kind: PinKind): boolean =>
  pins[kind].length > 0 || (kind === 'logs' && pins.unplaced !== undefined)

const keysOf = ({ logKey, pins }: KillickConfig): string[] => [
  ...new Set([...(logKey === undefined ? [] : [logKey]), ...(pins?.logKeys ?? [])]),
]

function ofOptions(values: PinArgs['values']): Found {
  return {
    ...NOTHING,
    logKeys: values['log-key'].map(readLogKey),
    sourceKeys: values['source-key'].map(readSourceKey),
    ...logOf(values.contract, values['log-id'], values['chain-id']),
    rpcs: values.rpc,
  }
}

/** The service's own settings name a contract too; it counts as pinned only together with the log in it. */
function ofEnvironment(): Found {
  const { KILLICK_RPC_URL, KILLICK_LOG_KEY, KILLICK_CONTRACT, KILLICK_LOG_ID, KILLICK_CHAIN_ID } = process.env
  return {
    ...NOTHING,
    rpcs: (KILLICK_RPC_URL ?? '').split(/[\s,]+/).filter((url) => url !== ''),
    logKeys: KILLICK_LOG_KEY ? [readLogKey(KILLICK_LOG_KEY)] : [],
    ...(KILLICK_CONTRACT && KILLICK_LOG_ID
      ? logOf(KILLICK_CONTRACT, KILLICK_LOG_ID, KILLICK_CHAIN_ID || undefined)
      : {}),
  }
}

/** @throws UsageError. @throws KillickError `trust_invalid` */
export function loadTrust(file: string): TrustFile {
  const text = readOption(resolve(process.cwd(), file), 'trust', 'not a file')
  const fail = (why: string, member?: string, meant?: string) =>
    new KillickError('trust_invalid', `${file}: ${why}`, {
      file,
      ...(member !== undefined && { member }),
      ...(meant !== undefined && { meant }),
    })
  let value: unknown
  try {
    value = parseJson(text)
  } catch (error) {
    if (error instanceof KillickError) throw fail(`it cannot be read as JSON: ${error.message}`)
    throw error
  }
  return parseTrust(value, '', fail)
}

/**
 * The caller must give the source's name, since a key without one would let its holder sign for every source. @throws UsageError
 * in terms of --source-key.
 */
function readSourceKey(text: string): PinnedKey & { source: string } {
  const [, source, rest] = /^([a-z0-9][a-z0-9._-]{0,63})=(.+)$/s.exec(text) ?? []
  if (source === undefined || rest === undefined)
    throw new UsageError(`--source-key needs the name of the source before the key: <name>=${text}`)
  const isJson = rest.trimStart().startsWith('{')
  const json = isJson ? rest : readOption(rest, 'source-key')
  try {
    const value = parseJson(json)
    if (!isObject(value) || !('jwk' in value)) return { source, jwk: parsePublicJwk(value) }
    const pin = parseSourceKey(value, 'it', (why) => new KillickError('trust_invalid', why))
    if (pin.source !== undefined && pin.source !== source)
      throw new KillickError('trust_invalid', `it is pinned for ${pin.source}, and not for ${source}`)
    return { ...pin, source }
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
  if (content.startsWith('{'))
    throw new UsageError(
      `--log-key: ${text} holds JSON, perhaps the log’s private key, which the service’s KILLICK_LOG_KEY names; the verifier key that readers pin is \`vkey\` in GET /v1/log`,
    )
  if (!isVkey(content)) throw new UsageError('--log-key is not a verifier key, nor a file that holds one')
  return content
}

/** Stands for a chain that nobody has named: then none is asked, whichever it is. */
export const ANY_CHAIN = 1

const OPTION_OF: Record<string, string> = { chainId: 'chain-id', contract: 'contract', logId: 'log-id' }

/** The contract and log of the options, if any was given. Only one of the two is an error, not a weaker check. */
function logOf(
  contract: string | undefined,
  logId: string | undefined,
  chainId: string | undefined,
): Pick<Partial<Found>, 'logs' | 'unplaced'> {
  if (contract === undefined && logId === undefined && chainId === undefined) return {}
  const missing = contract === undefined ? 'contract' : logId === undefined ? 'log-id' : null
  if (missing !== null)
    throw new UsageError(
      `--${missing} is missing: contract and log id are pinned together (the operator publishes both; GET /v1/log shows them)`,
    )
  const chain = chainId === undefined ? ANY_CHAIN : integer(chainId, 'chain-id', 1)
  try {
    const log = parsePinnedLog({ chainId: chain, contract, logId })
    return chainId === undefined ? { unplaced: { contract: log.contract, logId: log.logId } } : { logs: [log] }
  } catch (error) {
    if (!(error instanceof KillickError)) throw error
    throw new UsageError(`--${OPTION_OF[String(error.details.member)]} must be ${error.details.form}`)
  }
}
