// What workers that have ended left in their spools: it is sent, and their streams end.
import { streamClose } from '../core/event.ts'
import { Recorder, type RecorderOptions } from './recorder.ts'
import { Sender, type SenderOptions } from './sender.ts'
import { Spool, type SpoolOptions } from './spool.ts'
import { isLocked } from './workers.ts'

export type Adoption = {
  /** Stops sending. What the log has not accepted stays in the spools. */
  stop(): Promise<void>
}

type Parts = {
  spool: Omit<SpoolOptions, 'dir' | 'onDurable'>
  recorder: Omit<RecorderOptions, 'spool' | 'onRejected'>
  sender: Omit<SenderOptions, 'spool'>
}

/** Others may end while this process lives, and nobody may start in their place. ms */
const LOOK_EVERY_MS = 60_000

/**
 * Goes through the folders, one after another, beside whatever else the process does. It keeps no process alive.
 * @param look which folders there are
 */
export function adopt(look: () => Promise<readonly string[]>, parts: Parts): Adoption {
  let sender: Sender | undefined
  let recorder: Recorder | undefined
  let isStopped = false
  /** Folders of which it was told once why nothing more is sent from them. */
  const broken = new Set<string>()
  const { onError } = parts.sender

  async function adoptOne(dir: string): Promise<void> {
    const spool = await Spool.open({ ...parts.spool, dir, onDurable: () => sender?.notice() })
    try {
      const { seq, accepted, stream, source } = spool.state
      if ((seq === accepted && !spool.isLeftOpen) || spool.fork !== null || isStopped) return
      recorder = new Recorder({ ...parts.recorder, spool, onRejected: onError })
      sender = new Sender({ ...parts.sender, spool })
      sender.start()
      // Why it was not accepted, the sender has told; it is tried again, but not what the log contradicts.
      const isAccepted = await sender.flush(seq, false).catch(() => null)
      if (sender.state === 'halted') broken.add(dir)
      if (isAccepted === null || !spool.isLeftOpen) return
      await recorder.end(streamClose(source, stream))
      await sender.flush(spool.state.seq, false).catch(() => {})
    } finally {
      await sender?.stop()
      sender = undefined
      recorder = undefined
      await spool.close()
    }
  }

  async function adoptAll(): Promise<void> {
    for (const dir of await look()) {
      if (isStopped) return
      if (broken.has(dir)) continue
      await adoptOne(dir).catch((error) => {
        // A spool that somebody holds is no dead worker's.
        if (isLocked(error)) return
        broken.add(dir)
        onError(error)
      })
    }
  }

  let running: Promise<void> | null = null
  const begin = () => {
    running ??= adoptAll()
      .catch(onError)
      .finally(() => {
        running = null
      })
  }
  begin()
  const looking = setInterval(begin, LOOK_EVERY_MS).unref()
  return {
    async stop() {
      isStopped = true
      clearInterval(looking)
      recorder?.giveUp()
      await sender?.stop()
      await running
    },
  }
}
