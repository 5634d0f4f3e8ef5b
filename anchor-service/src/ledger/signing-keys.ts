import { createPrivateKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { mkdir, readFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { algOf, parsePublicJwk, type Signer, thumbprint } from '@killick/sdk/core'
import { StartError } from '../errors.ts'
import { sodium } from '../sodium.ts'
import { makeOnce } from '../whole-file.ts'

/** The log that a database holds. */
export type HeldLog = { origin: string; vkey: string }

/** A signer that holds its key in this process. */
export type LocalSigner = Omit<Signer, 'sign'> & { sign(message: Uint8Array): Uint8Array }

/**
 * The Ed25519 key in a file, as a private JWK. If there is no file, it is made (0600).
 * @param held - What the database holds; then a key that is not there is missing, and none is made.
 * @throws StartError with the path, never with the content
 */
export async function loadSigner(path: string, held: HeldLog | null = null): Promise<LocalSigner> {
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' && held === null) return generate(path)
    if (error.code === 'ENOENT') throw new StartError(missing(path, held!))
    throw new StartError(`The key file ${path} cannot be read (${error.code}).`)
  })
  let key: KeyObject
  try {
    key = createPrivateKey({ format: 'jwk', key: JSON.parse(text) })
    if (key.asymmetricKeyType !== 'ed25519') throw new Error('not Ed25519')
  } catch {
    throw new StartError(`The key file ${path} does not hold an Ed25519 private key as a JWK.`)
  }
  const { d: _, ...publicPart } = key.export({ format: 'jwk' })
  const jwk = parsePublicJwk(publicPart)
  return { jwk, kid: thumbprint(jwk), alg: algOf(jwk), sign: signing(key) }
}

const missing = (path: string, { origin, vkey }: HeldLog): string =>
  `The key file ${path} is missing: this database holds the log "${origin}" with the key ${vkey}, and nothing goes on under another. Restore the file (by default from the keys of the data folder, KILLICK_DATA), or use another database.`

function signing(key: KeyObject): LocalSigner['sign'] {
  if (sodium === null) return (message) => new Uint8Array(sign(null, message, key))
  const { d, x } = key.export({ format: 'jwk' })
  const secret = Buffer.concat([Buffer.from(d!, 'base64url'), Buffer.from(x!, 'base64url')])
  return (message) => {
    const signature = new Uint8Array(64)
    sodium!.crypto_sign_detached(signature, message, secret)
    return signature
  }
}

async function generate(path: string): Promise<string> {
  const text = `${JSON.stringify(generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' }))}\n`
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 })
    // If another process was faster, its key counts.
    return await makeOnce(path, text)
  } catch (error) {
    throw new StartError(`The key file ${path} cannot be written (${(error as NodeJS.ErrnoException).code}).`)
  }
}
