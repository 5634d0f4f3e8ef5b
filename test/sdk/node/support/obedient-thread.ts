// A thread that does what it is told, for tests of how the service keeps threads.
import { setTimeout as sleep } from 'node:timers/promises'
import { parentPort, workerData } from 'node:worker_threads'
import { answerQuestions, sayNews } from '../../../../sdk/src/node/thread.ts'

export type Command =
  | { say: unknown; afterMs?: number }
  | { fail: string }
  | { echo: Uint8Array<ArrayBuffer> }
  | { break: string }
  | { busyMs: number }
export type Reported = { started: unknown } | { ending: true }

sayNews<Reported>({ started: workerData })

// What it is told, and not asked.
parentPort!.on('message', (message: Command) => {
  if (typeof message === 'object' && 'break' in message) throw new Error(message.break)
})

answerQuestions<Command, unknown>(
  async (command) => {
    if ('fail' in command) throw new Error(command.fail)
    if ('echo' in command) return { answer: command.echo, transfer: [command.echo.buffer] }
    if ('break' in command) throw new Error('is told, not asked')
    if ('busyMs' in command) {
      for (const end = performance.now() + command.busyMs; performance.now() < end; );
      return { answer: command.busyMs }
    }
    if (command.afterMs) await sleep(command.afterMs)
    return { answer: command.say }
  },
  async () => sayNews<Reported>({ ending: true }),
)
