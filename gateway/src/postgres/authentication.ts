// How a client authenticates: the server asks and decides, and the relay passes on what both say.
import { printMessage } from './messages.ts'

const OK = 0
const CLEARTEXT = 3
const MD5 = 5
const GSS = 7
const SSPI = 9
const SASL = 10
const SASL_FINAL = 12
/** The mechanism that binds a login to the TLS connection that it is made over. */
const BOUND = '-PLUS'

/** What the server asks for, by the number in its message. */
const METHODS: Readonly<Record<number, string>> = {
  [CLEARTEXT]: 'password',
  [MD5]: 'md5',
  [GSS]: 'gss',
  [SSPI]: 'sspi',
}

export class Authentication {
  /** How the client has authenticated, as far as the messages tell; `none_asked` where the server let it in at once. */
  method = 'none_asked'
  /** Whether it is the server that has to say something now: it has not asked, or was told. */
  isServersTurn = true
  readonly #keepsBinding: boolean
  #isSasl = false

  /**
   * @param keepsBinding false: the two ends do not see the same TLS connection, so a login bound to it can only fail. Such mechanisms are
   *   taken out of the list that the server offers; nothing else is changed.
   */
  constructor(keepsBinding: boolean) {
    this.#keepsBinding = keepsBinding
  }

  /** What the server asks for. @param body of its message @returns the message for the client */
  asked(body: Buffer): { message: Buffer; isLetIn: boolean } {
    const kind = body.length >= 4 ? body.readInt32BE(0) : -1
    this.method = METHODS[kind] ?? this.method
    this.#isSasl = kind === SASL
    this.isServersTurn = kind === OK || kind === SASL_FINAL
    const message = kind === SASL && !this.#keepsBinding ? withoutBinding(body) : body
    return { message: printMessage('R', message), isLetIn: kind === OK }
  }

  /** What the client answers. The first answer to SASL names the mechanism. */
  told(frame: Buffer): void {
    this.isServersTurn = true
    if (!this.#isSasl) return
    this.#isSasl = false
    const end = frame.indexOf(0, 5)
    if (end > 0) this.method = frame.toString('latin1', 5, Math.min(end, 5 + 64)).toLowerCase()
  }
}

function withoutBinding(body: Buffer): Buffer {
  const names = body.toString('latin1', 4).split('\0').filter(Boolean)
  const left = names.filter((name) => !name.endsWith(BOUND))
  return Buffer.concat([body.subarray(0, 4), Buffer.from(`${left.map((name) => `${name}\0`).join('')}\0`, 'latin1')])
}
