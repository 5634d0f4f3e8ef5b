import { rm, writeFile } from 'node:fs/promises'
import { generateKey, publicJwk, writeKeyFile } from '../client/key.ts'
import { type Alg, thumbprint } from '../core/jwk.ts'
import { type Command, EXIT, readArgs, required, UsageError } from './command.ts'
import { isSystemError, reasonOf } from './input.ts'
import { KEYGEN } from './table/recording.ts'
import { err, out } from './terminal.ts'

const ALGS = ['Ed25519', 'ES256', 'ES256K']

export const keygen: Command = {
  run: async (args) => {
    const given = readArgs(KEYGEN, args)
    const { values } = given
    const file = required(KEYGEN, given, 'out')
    if (!ALGS.includes(values.alg)) throw new UsageError(`--alg must be one of ${ALGS.join(', ')}`)
    const key = generateKey(values.alg as Alg)
    const jwk = publicJwk(key)
    const publicFile = `${file.replace(/(\.key)?(\.json)?$/, '')}.pub.json`
    try {
      await writeKeyFile(file, key)
      await writeFile(publicFile, `${JSON.stringify(jwk, null, 2)}\n`, { flag: 'wx' }).catch(async (error) => {
        // Nobody has seen this key yet, and the next try is to find the place free.
        await rm(file)
        if (error.code !== 'EEXIST') await rm(publicFile, { force: true })
        throw error
      })
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
