// What the machine could do at most, measured beside what is made of it.
import { generateKeyPairSync, sign } from 'node:crypto'
import { once } from 'node:events'
import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'

/** Bytes that a signature of a sample event covers. */
const MESSAGE = Buffer.alloc(760, 'a')

/** Ed25519 signatures per second of one thread with node:crypto, the fastest signer Node has. */
export function signingRate(ms: number): number {
  const { privateKey } = generateKeyPairSync('ed25519')
  let count = 0
  const start = performance.now()
  while (performance.now() - start < ms) {
    for (let i = 0; i < 100; i++) sign(null, MESSAGE, privateKey)
    count += 100
  }
  return (count * 1000) / (performance.now() - start)
}

/** Ed25519 verifications per second of all cores together with libsodium. */
export async function verifyingRate(ms: number): Promise<number> {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  const workerData = {
    ms,
    message: MESSAGE,
    signature: sign(null, MESSAGE, privateKey),
    key: Buffer.from(publicKey.export({ format: 'jwk' }).x!, 'base64url'),
  }
  const threads = Array.from({ length: availableParallelism() }, () =>
    once(new Worker(new URL('verifier.ts', import.meta.url), { workerData }), 'message'),
  )
  const rates = (await Promise.all(threads)) as [number][]
  return rates.reduce((sum, [rate]) => sum + rate, 0)
}
