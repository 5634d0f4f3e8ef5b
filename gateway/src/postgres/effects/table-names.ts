// Names of tables, as PostgreSQL prints them and as policies name them.

/** @param parts of a qualified name, as they are @returns in the form that statements have: quoted where it must be */
export const printName = (parts: readonly string[]): string => parts.map(printPart).join('.')

const printPart = (part: string): string =>
  /^[a-z_][a-z0-9_$]*$/.test(part) ? part : `"${part.replaceAll('"', '""')}"`

/** @returns the parts of a name, folded unless they are quoted; null if it is none */
export function parseName(name: string): string[] | null {
  const parts: string[] = []
  let rest = name
  for (;;) {
    const found = /^\s*(?:"((?:[^"]|"")+)"|([^\s".]+))\s*(\.|$)/.exec(rest)
    if (found === null) return null
    parts.push(found[1] === undefined ? found[2]!.toLowerCase() : found[1].replaceAll('""', '"'))
    if (found[3] === '') return parts
    rest = rest.slice(found[0].length)
  }
}
