// What single steps cost beside the plain way to do them: the figures that docs/decisions/ rest on. `npm run bench` measures the
// whole; here each step is alone, on one thread, so compare the columns with each other and with nothing else.
//
//   node scripts/bench-steps.ts              every step, some seconds each
//   node scripts/bench-steps.ts read copy    some of them

import { execFileSync } from 'node:child_process'
import { createHash, createPublicKey, generateKeyPairSync, hash, type KeyObject, sign, verify } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { brotliCompressSync, constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import { asHash, type Hash, nodePrimitives, parseBatchHeader, readBatch } from '@killick/sdk/core'
import pg from 'pg'
import sodium from 'sodium-native'
import { startCluster } from '../anchor-service/src/database/embedded/cluster.ts'
import { runAll } from '../anchor-service/src/database/exchange.ts'
import { decodeBody } from '../anchor-service/src/intake/decode.ts'
import { readEvents } from '../anchor-service/src/intake/read-batch.ts'
import { sketchEvent } from '../anchor-service/src/ledger/packs/event-keys.ts'
import { rootOf } from '../anchor-service/src/ledger/tree/batch-tree.ts'
import { batchRoot } from '../anchor-service/src/ledger/tree/merkle-tree.ts'
import { free } from '../anchor-service/src/release-memory.ts'
import { PORTABLE } from '../sdk/src/core/primitives.ts'
import { findSodium, sodiumSigner } from '../sdk/src/node/sodium.ts'
import { makeLoads } from './bench/events.ts'
import { SIGNER } from './bench/plan.ts'
import { median } from './bench/stats.ts'
import { endClustersOnExit } from './lib/clusters.ts'
import { buildPage } from './page.ts'

/** µs for one call: the median of five rounds of 200 ms each, after one to warm up. */
function cost(work: () => void): number {
  const round = () => {
    let count = 0
    const start = performance.now()
    while (performance.now() - start < 200) for (let i = 0; i < 10; i++, count++) work()
    return (1000 * (performance.now() - start)) / count
  }
  round()
  return median(Array.from({ length: 5 }, round))
}

/** µs for one call of something that waits: the median of 500. */
async function latency(work: () => Promise<unknown>): Promise<number> {
  const times: number[] = []
  for (let i = 0; i < 600; i++) {
    const start = performance.now()
    await work()
    times.push(1000 * (performance.now() - start))
  }
  return median(times.slice(100))
}

function row(what: string, own: number, plain: number, unit = 'µs'): void {
  const figure = (value: number) => (value < 100 ? value.toPrecision(3) : Math.round(value).toLocaleString('en'))
  console.log(`${what}: ${figure(own)} beside ${figure(plain)} ${unit} (${(plain / own).toFixed(1)} ×)`)
}

/** A batch of a thousand events, as the bench sends it. */
async function sampleBatch(): Promise<Buffer> {
  const [load] = await makeLoads('bench', SIGNER, { streams: 1, batches: 1, events: 1000 })
  return decodeBody(load!.batches[0]!.body, 'zstd').text
}

const STEPS: Record<string, () => Promise<void>> = {
  async verify() {
    const { privateKey, publicKey } = generateKeyPairSync('ed25519')
    const message = Buffer.alloc(760, 'a')
    const signature = sign(null, message, privateKey)
    const raw = Buffer.from(publicKey.export({ format: 'jwk' }).x!, 'base64url')
    row(
      'Ed25519, libsodium beside OpenSSL',
      cost(() => sodium.crypto_sign_verify_detached(signature, message, raw)),
      cost(() => verify(null, message, publicKey, signature)),
    )
  },

  async sign() {
    const { privateKey } = generateKeyPairSync('ed25519')
    const message = Buffer.alloc(450, 'a')
    const signing = sodiumSigner(findSodium()!, privateKey)
    row(
      'Ed25519, libsodium beside OpenSSL',
      cost(() => signing(message)),
      cost(() => sign(null, message, privateKey)),
    )
  },

  async hash() {
    const text = 'a'.repeat(120)
    const buffer = Buffer.from(text)
    const left = asHash(new Uint8Array(32).fill(1))
    row(
      'SHA-256 of 120 characters, hash() from buffer to string beside createHash',
      cost(() => hash('sha256', buffer, 'binary')),
      cost(() => createHash('sha256').update(buffer).digest()),
    )
    row(
      '… beside hash() from string to buffer',
      cost(() => hash('sha256', buffer, 'binary')),
      cost(() => hash('sha256', text, 'buffer')),
    )
    const base64url = buffer.toString('base64url')
    for (const [name, of] of [
      ['leafHash', (it: typeof PORTABLE) => it.leafHash(text)],
      ['nodeHash', (it: typeof PORTABLE) => it.nodeHash(left, left)],
      ['digest', (it: typeof PORTABLE) => it.digest(text)],
      ['decodeText', (it: typeof PORTABLE) => it.decodeText(base64url)],
    ] as const)
      row(
        `primitive ${name}, Node's beside portable`,
        cost(() => of(nodePrimitives)),
        cost(() => of(PORTABLE)),
      )
  },

  async tree() {
    const leaves = Buffer.alloc(32 * 1000, 7)
    const hashes = Array.from({ length: 1000 }, () => asHash(new Uint8Array(32).fill(7)) as Hash)
    row(
      'root over 1,000 leaves, in one buffer beside an array of hashes',
      cost(() => rootOf(leaves)),
      cost(() => batchRoot(hashes)),
    )
  },

  async read() {
    const text = await sampleBatch()
    const header = parseBatchHeader(text.toString('latin1', 0, text.indexOf('\n')))
    const nothing = () => {}
    const take = { event: nothing, signature: nothing, unsigned: nothing, hidden: nothing }
    row(
      'reading an event, byte by byte beside core with what Node has',
      cost(() => readEvents(text, header, take)) / 1000,
      cost(() => void readBatch(text, (event) => void sketchEvent(event), nodePrimitives)) / 1000,
    )
  },

  /** Signing keys of ES256 are handed to OpenSSL in an object, for the form of the signature; those of Ed25519 need not be. */
  async key() {
    const { privateKey, publicKey } = generateKeyPairSync('ed25519')
    const message = Buffer.alloc(760, 'a')
    const signature = sign(null, message, privateKey)
    const key: KeyObject = createPublicKey(publicKey.export({ format: 'pem', type: 'spki' }))
    const starting = async (by: KeyObject | { key: KeyObject }) => {
      let took = 0
      for (let i = 0; i < 200; i++)
        await new Promise<void>((resolve) => {
          let left = 20
          const start = performance.now()
          for (let i = 0; i < 20; i++) verify(null, message, by, signature, () => --left || resolve())
          took += performance.now() - start
        })
      return (1000 * took) / 4000
    }
    await starting(key)
    row(
      "handing a signature to Node's thread pool, key as it is beside in an object",
      await starting(key),
      await starting({ key }),
    )
  },

  async free() {
    const [load] = await makeLoads('bench', SIGNER, { streams: 1, batches: 1, events: 1000 })
    const { body } = load!.batches[0]!
    // A service has a heap that the collector must look through.
    const heap = Array.from({ length: 500_000 }, (_, i) => ({ i, text: `${i}` }))
    row(
      'decompressing a batch of 1,000 events, its memory given back beside left to the collector',
      cost(() => free(decodeBody(body, 'zstd').text)),
      cost(() => void decodeBody(body, 'zstd')),
    )
    if (heap.length === 0) throw new Error('the heap was collected')
  },

  async start() {
    const folder = await mkdtemp(join(tmpdir(), 'killick-steps-'))
    const main = fileURLToPath(new URL('../sdk/src/cli/main.ts', import.meta.url))
    const starting = (env: NodeJS.ProcessEnv) => {
      const times = Array.from({ length: 6 }, () => {
        const start = performance.now()
        execFileSync(process.execPath, [main, 'verify', '--help'], { env: { ...process.env, ...env } })
        return performance.now() - start
      })
      return median(times.slice(1))
    }
    const compiled = starting({ NODE_COMPILE_CACHE: folder })
    row('starting killick verify, compiled before beside not', compiled, starting({}), 'ms')
    await rm(folder, { recursive: true })
  },

  async compress() {
    const text = await sampleBatch()
    for (const level of [1, 2, 3, 6]) {
      const params = { [constants.ZSTD_c_compressionLevel]: level }
      const { length } = zstdCompressSync(text, { params })
      const took = cost(() => zstdCompressSync(text, { params })) / 1000
      console.log(`zstd level ${level}: ${took.toFixed(1)} µs and ${Math.round(length / 1000)} bytes an event`)
    }
    const folder = await mkdtemp(join(tmpdir(), 'killick-steps-'))
    await buildPage(folder)
    const scripts = (await readdir(folder, { recursive: true })).filter((path) => path.endsWith('.js'))
    const sources = await Promise.all(scripts.map((path) => readFile(join(folder, path))))
    const script = sources.sort((a, b) => b.length - a.length)[0]!
    for (const quality of [9, 11]) {
      const start = performance.now()
      const { length } = brotliCompressSync(script, { params: { [constants.BROTLI_PARAM_QUALITY]: quality } })
      console.log(
        `brotli quality ${quality}: ${Math.round(performance.now() - start)} ms, ${length} of ${script.length} bytes`,
      )
    }
    await rm(folder, { recursive: true })
  },

  async frames() {
    const lines = (await sampleBatch()).toString('latin1').split('\n').slice(1, -1)
    const params = { [constants.ZSTD_c_compressionLevel]: 1 }
    // As recorders ask for them.
    const small = { ...params, [constants.ZSTD_c_windowLog]: 16, [constants.ZSTD_c_hashLog]: 12 }
    for (const events of [16, 32, 64, 256]) {
      const text = Buffer.from(lines.slice(0, events).join('\n'), 'latin1')
      const frame = zstdCompressSync(text, { params })
      const made = cost(() => zstdCompressSync(text, { params })) / events
      const madeSmall = cost(() => zstdCompressSync(text, { params: small })) / events
      const read = cost(() => zstdDecompressSync(frame, { chunkSize: 1024 + text.length }))
      const bytes = Math.round(frame.length / events)
      console.log(
        `a frame of ${events} events: ${bytes} bytes and ${made.toFixed(1)} µs an event, ${madeSmall.toFixed(1)} with small tables; ${Math.round(read)} µs to read it`,
      )
    }
  },

  async copy() {
    const folder = await mkdtemp(join(tmpdir(), 'killick-steps-'))
    endClustersOnExit(folder)
    const cluster = await startCluster(folder)
    const client = new pg.Client({ connectionString: await cluster.databaseUrl('steps') })
    await client.connect()
    const together = ['begin', 'select 1', 'select 2', 'select 3', 'select 4', 'commit']
    console.log(`one exchange with PostgreSQL: ${Math.round(await latency(() => client.query('select 1')))} µs`)
    row(
      'six statements, in one exchange beside one after another',
      await latency(() =>
        runAll(
          client,
          together.map((sql) => ({ sql })),
        ),
      ),
      await latency(async () => {
        for (const sql of together) await client.query(sql)
      }),
    )
    await client.end()
    await cluster.close()
    await rm(folder, { recursive: true, force: true })
  },
}

const wanted = process.argv.slice(2)
for (const [name, step] of Object.entries(STEPS)) if (wanted.length === 0 || wanted.includes(name)) await step()
