/**
 * Threads: one way to start, tell, ask, end and restart one. A thread's code is a file beside the module that keeps the thread, which
 * also has the types of their messages.
 */
import { extname } from 'node:path'
import { parentPort, Worker } from 'node:worker_threads'

/** Asks a thread to end by itself once it has answered. */
const END = 'killick:end'
/** The first message of a thread that listens. */
const READY = 'killick:ready'

type Question = { id: number; question: unknown }
type Answer = { id: number } & ({ answer: unknown } | { error: unknown })

/** How a thread is kept. */
export type ThreadOptions<News> = {
  /** What the thread is given at its start. */
  data: unknown
  /** It told something that it was not asked for. */
  news?: (news: News) => void
  /** It ended without having been asked to, and why. */
  failed?: (failure: Error) => void
  /** When one that ended so is started again, ms. Default: when it is asked next. */
  restartMs?: number
  /** Room for what it needs for a moment, so that none of it outlives a collection of the young. Default: Node's. */
  youngMiB?: number
}

/** A thread that is kept: it can be told and asked things. */
export type Thread<Told, Asked, Answered> = {
  /** Questions that it has not answered yet. */
  readonly unanswered: number
  /** It runs, and has loaded its modules. */
  readonly isReady: boolean
  /** Lost where it does not run now. */
  tell(message: Told): void
  /** Starts it again where it has ended. @throws what its answer threw, as far as that crosses threads; or why it ended */
  ask(question: Asked, transfer?: readonly ArrayBuffer[]): Promise<Answered>
  /**
   * The same for a small question, which must not change until this turn of the event loop ends: those of one turn are sent `TOGETHER`,
   * since to wake a thread costs more than one of them does.
   */
  askSmall(question: Asked): Promise<Answered>
  /** Has it answer what it was asked, then ends it. */
  end(): Promise<void>
  /** Ends it wherever it is, once it has loaded its modules: before that it may take the process along. */
  kill(): Promise<void>
}

/**
 * The file of a thread, as source or compiled. In a bundle it is looked for beside that, so a name must be one that no file of an application has.
 * @param url of the module beside which it stands
 */
export const threadBeside = (url: string, name: string): URL => new URL(`./${name}${extname(url)}`, url)

/**
 * Starts a thread, and again when it is asked something after it has ended.
 * @param entry its code, from `threadBeside`
 * @throws Error where this process may have no threads
 */
export function keepThread<Told, Asked = never, Answered = never, News = never>(
  entry: URL,
  { data, news, failed, restartMs, youngMiB }: ThreadOptions<News>,
): Thread<Told, Asked, Answered> {
  const waiting = new Map<number, PromiseWithResolvers<Answered>>()
  let nextId = 0
  const gathered = gather<Question>((questions) => worker?.postMessage(questions))
  let isEnding = false
  let worker: Worker | null = null
  let isReady = false
  let loaded = Promise.withResolvers<void>()
  let ended: Promise<void> = Promise.resolve()
  let restart: NodeJS.Timeout | undefined

  function start(): Worker {
    clearTimeout(restart)
    const started = new Worker(entry, {
      workerData: data,
      // Flags of the process (a watcher, a coverage tool) are not for its threads.
      execArgv: [],
      ...(youngMiB !== undefined && { resourceLimits: { maxYoungGenerationSizeMb: youngMiB } }),
    })
    worker = started
    loaded = Promise.withResolvers()
    let failure = new Error(`the thread ${entry.pathname.split('/').at(-1)} ended`)
    started.on('message', (message: Answer[] | { news: News } | typeof READY) => {
      if (message === READY) {
        isReady = true
        loaded.resolve()
        return
      }
      if ('news' in message) return news?.(message.news)
      for (const answer of message) settle(answer)
    })
    started.on('error', (error) => {
      failure = error as Error
    })
    ended = new Promise((resolve) => {
      started.once('exit', () => {
        worker = null
        isReady = false
        gathered.drop()
        for (const asked of waiting.values()) asked.reject(failure)
        waiting.clear()
        resolve()
        if (isEnding) return
        failed?.(failure)
        if (restartMs !== undefined) restart = setTimeout(start, restartMs)
      })
    })
    return started
  }

  function expectAnswer(): { id: number; answered: Promise<Answered> } {
    const id = nextId++
    const asked = Promise.withResolvers<Answered>()
    waiting.set(id, asked)
    return { id, answered: asked.promise }
  }

  function settle(answer: Answer): void {
    const asked = waiting.get(answer.id)!
    waiting.delete(answer.id)
    if ('answer' in answer) asked.resolve(answer.answer as Answered)
    else asked.reject(answer.error)
  }

  start()
  return {
    get unanswered() {
      return waiting.size
    },
    get isReady() {
      return isReady
    },
    tell(message) {
      gathered.flush()
      worker?.postMessage(message)
    },
    ask(question, transfer = []) {
      const { id, answered } = expectAnswer()
      ;(worker ?? start()).postMessage([{ id, question }] satisfies Question[], transfer)
      return answered
    },
    askSmall(question) {
      const { id, answered } = expectAnswer()
      if (worker === null) start()
      gathered.add({ id, question })
      return answered
    },
    async end() {
      isEnding = true
      clearTimeout(restart)
      gathered.flush()
      // Not `terminate()`: it can crash the process while a thread is still loading its modules.
      worker?.postMessage(END)
      await ended
    },
    async kill() {
      isEnding = true
      clearTimeout(restart)
      await Promise.race([loaded.promise, ended])
      await worker?.terminate()
    },
  }
}

/** How many small messages are sent together at most, so that the other side begins with these while more are made. */
export const TOGETHER = 16

/** Sends what is added in one turn of the event loop together, at its end, or sooner if there is much. */
function gather<T>(send: (all: T[]) => void) {
  let all: T[] = []
  function flush(): void {
    const some = all
    all = []
    if (some.length > 0) send(some)
  }
  return {
    flush,
    add(one: T): void {
      const count = all.push(one)
      if (count === TOGETHER) flush()
      else if (count === 1) setImmediate(flush)
    },
    drop(): void {
      all = []
    },
  }
}

/** An answer, and the memory that goes along with it. Those without are sent together, and must not change until then. */
export type Reply<Answered> = { answer: Answered; transfer?: ArrayBuffer[] }

/**
 * The other side of a thread that answers questions, any number at a time.
 * @param end closes what is open; with nothing left open, the thread ends
 * @param told what it is told between questions; no array
 */
export function answerQuestions<Asked, Answered, Told extends object = never>(
  answer: (question: Asked) => Promise<Reply<Answered>>,
  end: () => Promise<void>,
  told: (message: Told) => void = () => {},
): void {
  const underWay = new Set<Promise<void>>()
  const gathered = gather<Answer>((answers) => parentPort!.postMessage(answers))

  async function answerOne({ id, question }: Question): Promise<void> {
    try {
      const { answer: own, transfer = [] } = await answer(question as Asked)
      if (transfer.length === 0) gathered.add({ id, answer: own })
      else parentPort!.postMessage([{ id, answer: own }] satisfies Answer[], transfer)
    } catch (error) {
      gathered.add({ id, error })
    }
  }

  hear<Question[] | Told>(
    (message) => {
      if (!Array.isArray(message)) return told(message)
      for (const question of message as Question[]) {
        const work = answerOne(question).finally(() => underWay.delete(work))
        underWay.add(work)
      }
    },
    async () => {
      await Promise.all(underWay)
      gathered.flush()
      await end()
    },
  )
}

/** The other side of a thread that is told things. @param end as in `answerQuestions` */
export function hear<Told>(told: (message: Told) => void, end: () => Promise<void>): void {
  parentPort!.on('message', (message: Told | typeof END) => {
    // Deno's port has no `close()`. One that is not waited for ends the thread as well.
    if (message === END) end().then(() => parentPort!.unref())
    else told(message)
  })
  parentPort!.postMessage(READY)
}

/** Sends news to the module that keeps this thread. */
export const sayNews = <News>(news: News): void => parentPort!.postMessage({ news })
