// Names of tables, as PostgreSQL prints them and as policies name them.

/** @param parts of a qualified name, as they are @returns in the form that statements have: quoted where it must be */
export const printName = (parts: readonly string[]): string => parts.map(printPart).join('.')

/** An operator's own name is never quoted, and has neither letters nor dots. */
export const printOperator = (parts: readonly string[]): string =>
  [...parts.slice(0, -1).map(printPart), ...parts.slice(-1)].join('.')

const printPart = (part: string): string =>
  /^[a-z_][a-z0-9_$]*$/.test(part) ? part : `"${part.replaceAll('"', '""')}"`

/** @returns the parts of a name as the parser has them, folded unless they are quoted; null if it is none */
export function parseName(name: string): string[] | null {
  const parts: string[] = []
  let rest = name
  for (;;) {
    const found = /^\s*(?:"((?:[^"]|"")+)"|([^\s".]+))\s*(\.|$)/.exec(rest)
    if (found === null) return null
    parts.push(cutName(found[1] === undefined ? folded(found[2]!) : found[1].replaceAll('""', '"')))
    if (found[3] === '') return parts
    rest = rest.slice(found[0].length)
  }
}

/** Letters beyond ASCII stay as they are. */
const folded = (part: string): string => part.replace(/[A-Z]+/g, (letters) => letters.toLowerCase())

/** The bytes that PostgreSQL keeps of a name. */
const MAX_BYTES = 63

/** A name as PostgreSQL keeps it: it cuts longer ones, and takes them for the same. */
export function cutName(part: string): string {
  if (part.length * 3 <= MAX_BYTES) return part
  const bytes = Buffer.from(part)
  let end = Math.min(bytes.length, MAX_BYTES)
  // Not within a character.
  while (end < bytes.length && (bytes[end]! & 0xc0) === 0x80) end -= 1
  return bytes.toString('utf8', 0, end)
}
