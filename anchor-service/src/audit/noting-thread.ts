// A thread that reads batches for the service's audit. The audit starts it, through noted.ts.
import { answerNoting } from './noted.ts'

answerNoting()
