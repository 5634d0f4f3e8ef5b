/**
 * If a log can no longer be anchored where it was, because its publisher's key is stolen or lost, it goes on under another
 * publisher. The log's key states this in a C2SP signed note: where the log was, its own last anchor there, and where it goes on.
 */
import { fromBase64, toBase64 } from './bytes.ts'
import { KillickError } from './errors.ts'
import { isCount } from './event.ts'
import { type Hash, isHash } from './hash.ts'

/** A log in a contract on a chain. `contract` is 0x and 40, `logId` 0x and 64 hex digits in lower case. */
export type LogPlace = { readonly chainId: number; readonly contract: string; readonly logId: string }

/** A log's statement that it goes on in another contract or on another chain: which log, from where, to where. */
export type Succession = {
  readonly origin: string
  /** The contract log until then, with its last honest anchor: size, root and block time in seconds. */
  readonly from: LogPlace & { readonly size: number; readonly root: Hash; readonly time: number }
  readonly to: LogPlace
}

const FORM = 'killick-succession/1'

/**
 * The text of a statement of succession, as it is signed. Its first line is never an origin, so no reader takes it for a
 * checkpoint.
 */
export function printSuccession({ origin, from, to }: Succession): string {
  const place = ({ chainId, contract, logId }: LogPlace) => `${chainId} ${contract} ${logId}`
  const anchor = `${from.size} ${toBase64(from.root)} ${from.time}`
  return `${FORM}\n${origin}\n${place(from)}\n${anchor}\n${place(to)}\n`
}

/**
 * Reads a statement of succession from the text of a note that `openNote` has opened. It accepts one spelling only.
 * @throws KillickError `note_malformed`
 */
export function parseSuccession(text: string): Succession {
  const [, origin = '', from = '', anchor = '', to = ''] = text.split('\n')
  const [size = '', root = '', time = ''] = anchor.split(' ')
  const bytes = fromBase64(root)
  if (bytes === null || !isHash(bytes)) malformed()
  const succession = {
    origin,
    from: { ...parsePlace(from), size: Number(size), root: bytes, time: Number(time) },
    to: parsePlace(to),
  }
  const { from: left, to: next } = succession
  const isValid =
    [left.chainId, next.chainId, left.size, left.time].every(isCount) && left.size > 0 && left.time < 2 ** 32
  return isValid && printSuccession(succession) === text ? succession : malformed()
}

function parsePlace(line: string): LogPlace {
  const match = /^(0|[1-9]\d{0,15}) (0x[0-9a-f]{40}) (0x[0-9a-f]{64})$/.exec(line)
  return match ? { chainId: Number(match[1]), contract: match[2]!, logId: match[3]! } : malformed()
}

function malformed(): never {
  throw new KillickError('note_malformed', 'It is not a statement of succession')
}
