// The thread of a recorder: src/sessions/thread.ts keeps it.
import { setImmediate } from 'node:timers'
import { parentPort, workerData } from 'node:worker_threads'
import { compileRedaction } from '@killick/sdk/kit'
import { openRecorder, type SessionRecorder } from './recorder.ts'
import type { ToRecord } from './recording.ts'
import { type FromThread, plainError, type ThreadData, type ToThread } from './thread.ts'

const port = parentPort!
const tell = (message: FromThread): void => port.postMessage(message)

/** Takes what is to be recorded, and tells what is durable: what became so together, in one message. */
function serve(recorder: SessionRecorder): void {
  let count = 0
  let durable: (number | string)[] = []
  const answer = (number: number, id: string): void => {
    // Runs when everything that has become durable with this one is known.
    if (durable.push(number, id) === 2)
      process.nextTick(() => {
        tell({ what: 'durable', events: durable })
        durable = []
      })
  }
  const record = (it: ToRecord): void => {
    const number = count
    count += 1
    recorder.record(it).then(
      ({ id }) => answer(number, id),
      (error) => tell({ what: 'failed', event: number, error: plainError(error) }),
    )
  }
  const heard: ToThread[] = []
  let isBusy = false
  // One message after the other, and what waits for the disk begins to be written in between.
  const take = (message: ToThread): void => {
    isBusy = true
    setImmediate(goOn)
    if (message === 'close') close(recorder)
    else if (message === 'status') recorder.status().then((status) => tell({ what: 'status', status }))
    else for (const it of JSON.parse(message) as ToRecord[]) record(it)
  }
  const goOn = (): void => {
    isBusy = false
    const message = heard.shift()
    if (message !== undefined) take(message)
  }
  port.on('message', (message: ToThread) => {
    if (isBusy) heard.push(message)
    else take(message)
  })
}

async function close(recorder: SessionRecorder): Promise<void> {
  const error = await recorder.close().then(() => null, plainError)
  tell({ what: 'closed', error })
  port.close()
}

const { kind, settings, fields } = workerData as ThreadData
const parts = {
  ...{ kind, fields, say: (text: string) => tell({ what: 'said', text }) },
  settings: { ...settings, redaction: compileRedaction(settings.redaction) },
}
try {
  serve(await openRecorder(parts, true))
  tell({ what: 'opened' })
} catch (error) {
  tell({ what: 'not_opened', error: plainError(error) })
  port.close()
}
