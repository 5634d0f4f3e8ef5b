// A thread that reads batches. readers.ts starts it.
import { answerReaders, readAll } from './readings.ts'

answerReaders(readAll)
