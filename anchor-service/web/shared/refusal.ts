/** What the page itself refuses: an error that says why in English, and by what name other languages say it. */
import { type ErrorCode, KillickError } from '@killick/sdk/verify'
import { ENGLISH } from './english.ts'
import { words } from './language.ts'

type Refused = keyof typeof ENGLISH.refusals

/** @param mebibytes how large a file is that is too large */
export function refusal(code: ErrorCode, refused: Refused, mebibytes = 0): KillickError {
  const why = ENGLISH.refusals[refused]
  return new KillickError(code, typeof why === 'string' ? why : why(mebibytes), { refused, mebibytes })
}

/** Why something was refused, by the page or by a parser, in the language that is spoken; without a full stop. */
export function refusalInWords({ code, message, details }: KillickError): string {
  const { refused, mebibytes } = details as { refused?: Refused; mebibytes?: number }
  if (refused === undefined) return words.parser({ code, message })
  const why = words.refusals[refused]
  return typeof why === 'string' ? why : why(mebibytes ?? 0)
}
