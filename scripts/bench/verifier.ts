// One thread of the verification limit in limits.ts.
import { parentPort, workerData } from 'node:worker_threads'
import sodium from 'sodium-native'

const { ms, message, signature, key } = workerData
let count = 0
const start = performance.now()
while (performance.now() - start < ms) {
  for (let i = 0; i < 100; i++) sodium.crypto_sign_verify_detached(signature, message, key)
  count += 100
}
parentPort!.postMessage((count * 1000) / (performance.now() - start))
