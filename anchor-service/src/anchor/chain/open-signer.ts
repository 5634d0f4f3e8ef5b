import { readFile } from 'node:fs/promises'
import { fromUtf8, isObject, isRedirect, readBody } from '@killick/sdk/core'
import { Wallet } from 'ethers'
import { type ChainSigner, keySigner } from './signer.ts'

/** Who signs: exactly one of these. Secrets are read from the environment or from files, never from arguments. */
export type KeySettings =
  /** KILLICK_CHAIN_KEY, `chainKey`: private key (64 hex digits), or a file that holds one, or an encrypted JSON keystore. */
  | {
      key: string
      /** KILLICK_CHAIN_KEY_PASSWORD, `chainKeyPassword`: password of the keystore, or a file that holds it. */
      password: string | null
    }
  /** KILLICK_SIGNER_URL, `signerUrl`: a signer in another process; docs/ANCHORING.md says what it answers. */
  | { signerUrl: string }

/**
 * The signer that is configured. Its errors say what is wrong and never show a key.
 * @param timeoutMs of one request to a signer in another process, from connecting to the last byte of its answer
 * @throws Error
 */
export async function openSigner(settings: KeySettings, timeoutMs = 15_000): Promise<ChainSigner> {
  if ('signerUrl' in settings) return remoteSigner(settings.signerUrl, timeoutMs)
  const { key, password } = settings
  const text = isKey(key) ? key : (await readFile(key, 'utf8').catch(() => '')).trim()
  if (isKey(text)) return keySigner(text.startsWith('0x') ? text : `0x${text}`)
  if (!text.startsWith('{'))
    throw new Error('the key is neither 64 hex digits, nor a file that holds a key or a JSON keystore')
  if (password === null)
    throw new Error('the keystore needs a password (KILLICK_CHAIN_KEY_PASSWORD, itself or as a file)')
  const secret = await readFile(password, 'utf8').catch(() => password)
  const wallet = await Wallet.fromEncryptedJson(text, secret.replace(/\r?\n$/, '')).catch(() => {
    throw new Error('the keystore does not open with this password')
  })
  return keySigner(wallet.privateKey)
}

const isKey = (text: string) => /^(0x)?[0-9a-fA-F]{64}$/.test(text)

const MAX_BYTES = 64 << 10

class SignerError extends Error {}

/**
 * A signer in another process, before a KMS or HSM. `GET url` answers {"address": "0x…"}; `POST url` with
 * {"digest": "0x…"} answers {"signature": "0x…"}, r ‖ s.
 */
async function remoteSigner(url: string, timeoutMs: number): Promise<ChainSigner> {
  async function ask(body?: object): Promise<Record<string, unknown>> {
    const json = { 'content-type': 'application/json' }
    const request = body ? { method: 'POST', headers: json, body: JSON.stringify(body) } : {}
    const { host } = new URL(url)
    let answer: unknown
    try {
      const response = await fetch(url, { ...request, redirect: 'manual', signal: AbortSignal.timeout(timeoutMs) })
      if (isRedirect(response))
        throw new SignerError(`the signer at ${host} answered with a redirect, which is not followed`)
      if (!response.ok) throw new SignerError(`the signer at ${host} answered ${response.status}`)
      const bytes = await readBody(response.body, MAX_BYTES)
      if (bytes === null) throw new SignerError(`the signer at ${host} answered with too many bytes`)
      answer = JSON.parse(fromUtf8(bytes) ?? '')
    } catch (error) {
      throw error instanceof SignerError
        ? error
        : new SignerError(`the signer at ${host} does not answer, or not in JSON`)
    }
    if (!isObject(answer)) throw new SignerError(`the signer at ${host} did not answer with a JSON object`)
    return answer
  }
  const { address } = await ask()
  if (typeof address !== 'string' || !/^0x[0-9a-fA-F]{40}$/.test(address)) {
    throw new SignerError(`the signer at ${new URL(url).host} did not tell its address`)
  }
  return { address: address.toLowerCase(), signDigest: async (digest) => String((await ask({ digest })).signature) }
}
