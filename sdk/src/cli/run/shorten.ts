// An event has at most 256 KiB, and a command line may have 2 MiB. What is cut says how much there was, and its hash.
import { createHash } from 'node:crypto'

const MAX_ARGUMENT = 4096
const MAX_COMMAND_BYTES = 48 << 10

/** Of a command line that was cut: how many arguments it has, and the SHA-256 in hex of all of them, redacted, as JSON. */
export type CommandCut = { readonly arguments: number; readonly sha256: string }

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex')

/** A text of at most `max` characters and a note on what was cut. */
export function shortened(text: string, max = MAX_ARGUMENT): string {
  if (text.length <= max) return text
  return `${text.slice(0, max).toWellFormed()}… [cut: ${text.length} characters, SHA-256 ${sha256(text)}]`
}

/** The first arguments, as far as they fit into an event; `cut` is null if none is missing. */
export function shortenedCommand(command: readonly string[]): { command: string[]; cut: CommandCut | null } {
  const kept: string[] = []
  let bytes = 0
  for (const argument of command) {
    const short = shortened(argument)
    bytes += Buffer.byteLength(JSON.stringify(short)) + 1
    if (bytes > MAX_COMMAND_BYTES && kept.length > 0) break
    kept.push(short)
  }
  const isWhole = kept.length === command.length && kept.every((argument, i) => argument === command[i])
  return { command: kept, cut: isWhole ? null : { arguments: command.length, sha256: sha256(JSON.stringify(command)) } }
}
