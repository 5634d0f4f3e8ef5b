// One check of a bundle in a process of its own that tells what it took: verifying.ts <file> <threads> <log key> <source> <source's key, JSON>
import { createReadStream } from 'node:fs'
import { verifyBundle } from '@killick/sdk'

export type Verified = { events: number; seconds: number; cpuSeconds: number; memory: number }

const [file, threads, logKey, source, jwk] = process.argv.slice(2) as [string, string, string, string, string]
const [start, cpu] = [performance.now(), process.cpuUsage()]
const trust = { logKeys: [logKey], sourceKeys: [{ source, jwk: JSON.parse(jwk) }], logs: [] }
const { events, faultCount, completeness } = await verifyBundle(createReadStream(file), trust, {
  threads: Number(threads),
})
if (faultCount > 0 || completeness.verdict !== 'complete') throw new Error('the bundle is not complete')
const { user, system } = process.cpuUsage(cpu)
const memory = 1024 * process.resourceUsage().maxRSS
const seconds = (performance.now() - start) / 1000
process.send?.({ verified: { events, seconds, cpuSeconds: (user + system) / 1e6, memory } satisfies Verified })
process.disconnect?.()
