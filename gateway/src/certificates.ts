// The certificate of a listener is renewed while the listener runs: whoever renews it writes other files, and tells nobody.
import { constants, X509Certificate } from 'node:crypto'
import { createSecureContext } from 'node:tls'
import { Gauge, type Registry } from 'prom-client'

/**
 * How every listener takes TLS. Without renegotiation: Node goes on calling a connection authorized whose client has shown another certificate
 * since, whoever has signed that.
 */
export const LISTENER_TLS = { minVersion: 'TLSv1.2', secureOptions: constants.SSL_OP_NO_RENEGOTIATION } as const

/** What a listener shows, and what it holds certificates of clients against, as PEM. */
export type ListenerPem = { readonly cert: string; readonly key: string; readonly ca?: string }

/** A certificate that is renewed. Has a life. */
export type RenewedCertificate = {
  /** When the one that is shown ends, s since 1970. */
  notAfter(): number
  stop(): void
}

/** How often the files are looked at, ms. */
const LOOK_MS = 30_000

/**
 * Looks into the files of a certificate every 30 s, and has the listener show what they hold when that has changed. What cannot be read, or does not
 * belong together, as while somebody writes, is not taken: the listener goes on with what it has.
 * @param shown what the listener shows already
 * @param parts.read what the files hold now; what it throws says why that cannot be told
 * @param parts.use has the listener show it, from the next connection on
 * @param parts.say takes a sentence for people
 */
export function renewCertificate(
  shown: ListenerPem,
  { read, use, say }: { read(): ListenerPem; use(pem: ListenerPem): void; say(text: string): void },
): RenewedCertificate {
  let current = shown
  let fault = ''
  const timer = setInterval(look, LOOK_MS)
  timer.unref()
  return { notAfter: () => endOf(current).getTime() / 1000, stop: () => clearInterval(timer) }

  function look(): void {
    try {
      const pem = read()
      if (!isSame(pem, current)) {
        createSecureContext(pem)
        use(pem)
        current = pem
        say(`TLS: the files of the certificate have changed; it is shown from now on, and ends ${until(current)}.`)
      }
      fault = ''
    } catch (error) {
      const why = (error as Error).message
      if (why !== fault) say(`TLS: the certificate stays as it is, and ends ${until(current)}: ${why}`)
      fault = why
    }
  }
}

/**
 * Refuses authorities that are not whole: of an empty text Node makes all those that it knows itself, whoever they have signed for, and what it cannot
 * read, such as half a certificate, it leaves out without a word.
 * @throws Error that says so
 */
export function checkAuthorities(ca: string): void {
  const blocks = ca.split(BEGIN).filter((block) => /^(?:X509 |TRUSTED )?CERTIFICATE-----/.test(block))
  if (blocks.length === 0) throw new Error('it holds no certificate')
  try {
    for (const block of blocks) new X509Certificate(BEGIN + block)
  } catch (error) {
    throw new Error(`a certificate in it cannot be read: ${(error as Error).message}`)
  }
}

/** Has a part's registry say when the certificate of its listeners ends. @param part as the names of its metrics have it */
export function addCertificateMetric(registry: Registry, part: string, renewed: RenewedCertificate): void {
  new Gauge({
    name: `killick_${part}_certificate_not_after_timestamp_seconds`,
    help: 'When the certificate that is shown ends, seconds since 1970',
    registers: [registry],
    collect() {
      this.set(renewed.notAfter())
    },
  })
}

const BEGIN = '-----BEGIN '
const isSame = (a: ListenerPem, b: ListenerPem): boolean => a.cert === b.cert && a.key === b.key && a.ca === b.ca

/** A chain begins with the listener's own. */
const endOf = ({ cert }: ListenerPem): Date => new Date(new X509Certificate(cert).validTo)
const until = (pem: ListenerPem): string => endOf(pem).toISOString()
