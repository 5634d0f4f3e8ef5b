/** German as a script of its own, which only those load who read the page in it. */

import { deliver } from './fetched-words.ts'
import { GERMAN } from './german.ts'

deliver(GERMAN)
