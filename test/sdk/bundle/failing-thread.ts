// A thread that fails at what it is asked; `?ends` of its address: it takes itself out of the world.
import { answerQuestions } from '../../../sdk/src/node/thread.ts'

answerQuestions(
  async () => {
    if (import.meta.url.endsWith('?ends')) process.exit(0)
    throw new Error('cannot read that')
  },
  async () => {},
)
