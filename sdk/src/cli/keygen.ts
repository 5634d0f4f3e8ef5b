import { writeFile } from 'node:fs/promises'
import { generateKey, publicJwk, writeKeyFile } from '../client/key.ts'
import { type Alg, thumbprint } from '../core/jwk.ts'
import { type Command, EXIT, readArgs, required, UsageError } from './command.ts'
import { isSystemError, reasonOf } from './input.ts'
import { err, out } from './terminal.ts'

const ALGS = ['Ed25519', 'ES256', 'ES256K']

export const keygen: Command = {
  summary: 'make a key pair for a source',
  help: `killick keygen: make a key pair for a source

Usage: killick keygen --out <file> [--alg Ed25519|ES256|ES256K]

Writes the private key to <file> (a JWK; only you can read it) and the public key beside it, ending in .pub.json.
The private key stays with the system that records. The public key is what you register with the service, and what
verifiers pin with --source-key. It is also printed. Existing files are never overwritten.

  --out <file>   where to write the private key
  --alg <alg>    Ed25519 (default, fastest), ES256 (P-256) or ES256K (secp256k1)

Example:
  killick keygen --out billing-api.key.json
`.trimEnd(),
  run: async (args) => {
    const { values } = readArgs(args, { out: { type: 'string' }, alg: { type: 'string', default: 'Ed25519' } })
    const file = required(values.out, 'out')
    if (!ALGS.includes(values.alg)) throw new UsageError(`--alg must be one of ${ALGS.join(', ')}`)
    const key = generateKey(values.alg as Alg)
    const jwk = publicJwk(key)
    const publicFile = `${file.replace(/(\.key)?(\.json)?$/, '')}.pub.json`
    try {
      await writeKeyFile(file, key)
      await writeFile(publicFile, `${JSON.stringify(jwk, null, 2)}\n`, { flag: 'wx' })
    } catch (error) {
      if (!isSystemError(error)) throw error
      const { code, path } = error
      throw new UsageError(
        code === 'EEXIST' ? `${path} exists; keys are not overwritten` : `${path ?? file}: ${reasonOf(error)}`,
      )
    }
    out(JSON.stringify(jwk))
    err(`Private key in ${file}, public key in ${publicFile}; its name (kid) is ${thumbprint(jwk)}`)
    return EXIT.ok
  },
}
