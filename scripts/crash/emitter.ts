// Sends to a collector until it is killed: single events and arrays, each until it is answered, some again although they were. Prints
// `<seq> <id> <sender's id>` for every event that was answered with 200.
//
//   node emitter.ts <url> <key>
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'

const [url, key] = process.argv.slice(2) as [string, string]
const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' }
const life = randomUUID().slice(0, 8)

type Answer = { events: { id: string; seq: number }[] }

async function post(body: string): Promise<Answer | null> {
  try {
    const response = await fetch(`${url}/v1/events`, {
      method: 'POST',
      headers,
      body,
      signal: AbortSignal.timeout(5000),
    })
    const answer = (await response.json()) as Answer
    if (response.status === 200) return answer
    // Whatever was killed, the same content under the same id is never at fault.
    if (response.status < 500 && response.status !== 429) throw new Error(JSON.stringify(answer))
  } catch (error) {
    if (error instanceof Error && error.message.startsWith('{')) throw error
  }
  return null
}

async function emit(worker: number): Promise<void> {
  for (let n = 0; ; n++) {
    const ids = Array.from({ length: n % 3 === 0 ? 5 : 1 }, (_, i) => `${life}-${worker}-${n}-${i}`)
    const actor = { type: 'worker', id: `${process.pid}-${worker}` }
    const body = JSON.stringify(
      ids.map((id) => ({ id, action: 'crash.count', actor, targets: [{ type: 'number', id }] })),
    )
    for (let isAnswered = false; !isAnswered || n % 4 === 0; ) {
      const again = isAnswered
      const answer = await post(body)
      if (answer === null) await sleep(50)
      else for (const [i, { id, seq }] of answer.events.entries()) process.stdout.write(`${seq} ${id} ${ids[i]}\n`)
      isAnswered = answer !== null
      if (again && isAnswered) break
    }
    await sleep(30)
  }
}

await Promise.all([1, 2, 3, 4].map(emit))
