// Names in JSON pointers (RFC 6901).

/** A name as it stands in a JSON pointer (RFC 6901 §3). */
export const escapePointer = (name: string): string =>
  /[~/]/.test(name) ? name.replaceAll('~', '~0').replaceAll('/', '~1') : name

/** The name that a step of a JSON pointer stands for (RFC 6901 §4). */
export const unescapePointer = (name: string): string =>
  name.includes('~') ? name.replaceAll('~1', '/').replaceAll('~0', '~') : name
