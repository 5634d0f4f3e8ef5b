// What is recognised as a secret wherever it stands in a text.

/**
 * What a redaction rule can recognise, in texts and in numbers.
 *
 * - `card`: 13 to 19 digits, with spaces or hyphens between them or not, that are a number of a card scheme and pass its checksum (Luhn)
 * - `jwt`: JSON web tokens, signed or encrypted, with disclosures if it has any
 * - `bearer`: the credentials behind `Bearer` or `Basic`
 * - `apiKey`: keys that their issuers give a known beginning, such as `sk_live_`, `ghp_`, `AKIA`
 * - `privateKey`: private keys in PEM
 * - `urlPassword`: the password in a URL, as in `postgres://ada:…@db/x` (RFC 3986, 3.2.1)
 */
export type Detector = 'card' | 'jwt' | 'bearer' | 'apiKey' | 'privateKey' | 'urlPassword'

/** From and to, as `slice` takes them; in order, and none in another. */
export type Ranges = readonly (readonly [from: number, to: number])[]
/** Where in a text the secrets are. Takes time in proportion to the text, whatever it is: callers write such texts. */
export type Finder = (text: string) => Ranges

const NONE: Ranges = []

/** Every match of a pattern that is not empty. @param shortest how short a match can be */
export function matchesOf({ source, flags }: RegExp, shortest = 1): Finder {
  const pattern = new RegExp(source, `g${flags.replace(/[gy]/g, '')}`)
  return (text) => {
    if (text.length < shortest || text.search(pattern) === -1) return NONE
    return Array.from(text.matchAll(pattern), ({ index, 0: match }) => [index, index + match.length] as const).filter(
      ([from, to]) => to > from,
    )
  }
}

/** The beginnings that issuers document for their secret keys, and what follows. */
const API_KEYS = [
  '[sr]k_(?:live|test)_[0-9A-Za-z]{10,}', // Stripe
  'whsec_[0-9A-Za-z+/=]{16,}', // Stripe, Standard Webhooks
  'gh[oprsu]_[0-9A-Za-z]{36,}', // GitHub
  'github_pat_[0-9A-Za-z_]{22,}',
  'gl(?:pat|ptt|dt|rt|cbt|soat)-[0-9A-Za-z_-]{20,}', // GitLab
  'xox[abeoprs]-[0-9A-Za-z-]{10,}', // Slack
  'xapp-[0-9A-Za-z-]{10,}',
  '(?:AKIA|ASIA)[0-9A-Z]{16}', // Amazon
  'AIza[0-9A-Za-z_-]{35}', // Google
  'ya29\\.[0-9A-Za-z_-]{20,}',
  'sk-[0-9A-Za-z_-]{20,}', // OpenAI, Anthropic and others
  'npm_[0-9A-Za-z]{36}',
  'pypi-[0-9A-Za-z_-]{16,}',
  'SG\\.[0-9A-Za-z_-]{16,}\\.[0-9A-Za-z_-]{16,}', // SendGrid
  'hf_[0-9A-Za-z]{30,}', // Hugging Face
  'do[opr]_v1_[0-9a-f]{64}', // DigitalOcean
  'shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}', // Shopify
  'hv[sbr]\\.[0-9A-Za-z_-]{20,}', // Vault
  'dckr_(?:pat|oat)_[0-9A-Za-z_-]{20,}', // Docker
]

const SHORTEST_API_KEY = 15

export const FINDERS: { readonly [name in Detector]: Finder } = {
  card: findCards,
  jwt: findTokens,
  bearer: findCredentials,
  apiKey: matchesOf(new RegExp(`(?<![0-9A-Za-z])(?:${API_KEYS.join('|')})`), SHORTEST_API_KEY),
  privateKey: matchesOf(
    /-----BEGIN [A-Z0-9 ]{0,20}PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z0-9 ]{0,20}PRIVATE KEY-----|$)/,
    27,
  ),
  urlPassword: findUrlPasswords,
}

const TOKEN = /eyJ[\w-]{6,}(?:\.[\w-]*){2,4}(?:~[\w-]*)*/y
const WORD = /[\w-]*/y

function findTokens(text: string): Ranges {
  let at = text.indexOf('eyJ')
  if (at === -1) return NONE
  const found: [number, number][] = []
  while (at !== -1) {
    TOKEN.lastIndex = at
    const match = TOKEN.exec(text)
    if (match) found.push([at, TOKEN.lastIndex])
    else {
      // No token begins further on in the same word: it would end as this one does.
      WORD.lastIndex = at
      WORD.exec(text)
    }
    at = text.indexOf('eyJ', match ? TOKEN.lastIndex : WORD.lastIndex)
  }
  return found
}

const CREDENTIALS = /\b(?:bearer|basic)\s{1,3}([\w.~+/-]{6,}=*)/gi

function findCredentials(text: string): Ranges {
  if (text.length < 12 || text.search(CREDENTIALS) === -1) return NONE
  return Array.from(text.matchAll(CREDENTIALS), ({ index, 0: match, 1: credential }) => ({
    to: index + match.length,
    credential: credential!,
  }))
    .filter(({ credential }) => isCredential(credential))
    .map(({ to, credential }) => [to - credential.length, to] as const)
}

/** Before what a URL names; JSON may write a slash with a backslash. */
const SCHEME_END = /:\\?\/\\?\//g
/** A quote that ends nothing: behind one that does, a list, an object or a sentence goes on. */
const QUOTE = String.raw`["'](?![\s,;:)}\]>]|$)`
/** What a URL has before its path, by the standard but for quotes. */
const AUTHORITY = new RegExp(String.raw`[^\s/?#"'\x60<>\\]*(?:${QUOTE}[^\s/?#"'\x60<>\\]*)*`, 'y')
/** The same with signs in it that the standard would have written otherwise. */
const WITH_ODD_SIGNS = new RegExp(String.raw`[^\s/"']*(?:${QUOTE}[^\s/"']*)*`, 'y')
/** Behind a host, where a password would hardly go on so. */
const QUERY = /\?[\w.-]+=/y
const PORT = /^\d{1,5}[?`<>\\]/
const REMOVED = /^\[redacted:[^\]]*\]$/

/** Of several signs `@` the last one ends the password, as those who forget to write it as `%40` expect. */
function findUrlPasswords(text: string): Ranges {
  const found: [number, number][] = []
  for (const { 0: sign, index } of text.matchAll(SCHEME_END)) {
    const from = index + sign.length
    // An address in brackets is a host's.
    if (!/[a-z0-9+.-]/i.test(text[index - 1] ?? '') || text[from] === '[') continue
    const colon = text.indexOf(':', from)
    if (colon === -1) break
    const end = endOf(AUTHORITY, text, from)
    if (colon >= end) continue
    const strict = text.slice(colon + 1, end)
    QUERY.lastIndex = end
    const isStrict = strict.includes('@') && QUERY.test(text)
    const rest = isStrict ? strict : text.slice(colon + 1, endOf(WITH_ODD_SIGNS, text, colon + 1))
    const password = rest.slice(0, Math.max(0, rest.lastIndexOf('@')))
    if (password !== '' && !PORT.test(rest) && !REMOVED.test(password))
      found.push([colon + 1, colon + 1 + password.length])
  }
  return found
}

function endOf(pattern: RegExp, text: string, from: number): number {
  pattern.lastIndex = from
  return from + pattern.exec(text)![0].length
}

/** Digits that may be several numbers beside each other; not those behind a decimal point, which has a digit before it. */
const DIGITS = /(?<!\d|\d\.)\+?\d(?:[ \u00a0-]?\d){12,}/g

function findCards(text: string): Ranges {
  if (text.length < 13 || text.search(DIGITS) === -1) return NONE
  // What begins with a plus is a telephone number.
  return Array.from(text.matchAll(DIGITS)).flatMap(({ index, 0: run }) => (run[0] === '+' ? [] : cardsIn(run, index)))
}

/** A card's number begins and ends where a group of digits does; of several that begin there it is the longest. */
function cardsIn(run: string, at: number): [number, number][] {
  let digits = ''
  /** After so many digits a group begins, or ends, at this place of the run, plus one; 0: none does. */
  const begins = new Int32Array(run.length + 1)
  const ends = new Int32Array(run.length + 1)
  for (const { index, 0: group } of run.matchAll(/\d+/g)) {
    begins[digits.length] = index + 1
    digits += group
    ends[digits.length] = index + group.length + 1
  }
  const found: [number, number][] = []
  for (let from = 0; from < digits.length; from++) {
    if (begins[from] === 0) continue
    const length = lengthsOf(digits, from).find((it) => ends[from + it] && passesLuhn(digits, from, from + it))
    if (length === undefined) continue
    found.push([at + begins[from]! - 1, at + ends[from + length]! - 1])
    from += length - 1
  }
  return found
}

const ANY = [19, 18, 17, 16, 15, 14, 13]
const NO_LENGTHS: readonly number[] = []

/** How long numbers can be that begin with these digits, as the card schemes publish it (ISO/IEC 7812); the longest first. */
function lengthsOf(digits: string, at: number): readonly number[] {
  const one = digits.charCodeAt(at) - 48
  if (one < 2 || one > 6) return NO_LENGTHS
  const two = 10 * one + digits.charCodeAt(at + 1) - 48
  const three = 10 * two + digits.charCodeAt(at + 2) - 48
  if (one === 4) return [19, 16, 13] // Visa
  if ((two >= 51 && two <= 55) || (two >= 22 && two <= 27)) return [16] // Mastercard
  if (two === 34 || two === 37) return [15] // American Express
  if (two === 35) return [19, 18, 17, 16] // JCB
  if ((three >= 300 && three <= 305) || three === 309 || two === 36 || (two >= 38 && two <= 39))
    return [19, 18, 17, 16, 15, 14] // Diners Club
  return one === 5 || one === 6 ? ANY : NO_LENGTHS // Maestro, Discover, UnionPay, RuPay
}

function passesLuhn(digits: string, from: number, to: number): boolean {
  let sum = 0
  for (let i = 0; i < to - from; i++) {
    const digit = digits.charCodeAt(to - 1 - i) - 48
    const twice = i % 2 === 1 ? digit * 2 : digit
    sum += twice > 9 ? twice - 9 : twice
  }
  return sum % 10 === 0
}

/** Words follow these words too: "basic understanding". Credentials have a digit or a sign in them, or are long. */
const isCredential = (text: string): boolean => text.length >= 20 || /[\d._~+/=]/.test(text)
