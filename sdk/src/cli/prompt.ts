// Asks the person at the terminal. Questions go to stderr, so that stdout holds results only.
import { createInterface } from 'node:readline'
import { Writable } from 'node:stream'
import { Unanswered } from './command.ts'
import { type Printed, paint, rawText, text } from './terminal.ts'

/** Whether there is anybody to ask. */
export const isPersonThere = (): boolean => process.stdin.isTTY === true && process.stderr.isTTY === true

// What was typed ahead, in one go with an earlier answer.
let ahead: string[] = []

/**
 * Asks for a line of text.
 * @param standard the answer if the person gives none
 * @throws Unanswered at Ctrl-C, or at the end of input
 */
export async function ask(question: Printed, standard = ''): Promise<string> {
  const hint = standard === '' ? '' : text` ${paint('dim', `[${standard}]`, process.stderr)}`
  return (await readLine(text`${question}${hint}: `, false)).trim() || standard
}

/** Asks for something that must not stand on the screen. @throws Unanswered */
export async function askSecret(question: Printed): Promise<string> {
  return (await readLine(text`${question}: `, true)).trim()
}

/** Asks for yes or no; nothing means yes. @throws Unanswered */
export async function confirm(question: Printed): Promise<boolean> {
  for (;;) {
    const answer = (await ask(text`${question} [Y/n]`)).toLowerCase()
    if (answer === '' || answer === 'y' || answer === 'yes') return true
    if (answer === 'n' || answer === 'no') return false
  }
}

function readLine(question: Printed, isSecret: boolean): Promise<string> {
  const { stdin, stderr } = process
  let isQuiet = false
  const output = new Writable({
    write(chunk, _encoding, done) {
      if (!isQuiet) stderr.write(chunk)
      done()
    },
  })
  const waiting = ahead.shift()
  if (waiting !== undefined) {
    stderr.write(`${rawText(question)}${isSecret ? '' : waiting}\n`)
    return Promise.resolve(waiting)
  }
  return new Promise((resolve, reject) => {
    const lines = createInterface({ input: stdin, output, terminal: true, historySize: 0 })
    let answer: string | null = null
    const end = () => {
      isQuiet = false
      lines.close()
    }
    lines.on('line', (line) => {
      if (answer !== null) {
        ahead.push(line)
        return
      }
      answer = line
      // What came in the same chunk is read before the terminal is given back.
      queueMicrotask(() => {
        end()
        if (isSecret) stderr.write('\n')
        resolve(line)
      })
    })
    lines.on('SIGINT', end)
    lines.on('close', () => {
      if (answer !== null) return
      ahead = []
      stderr.write('\n')
      reject(new Unanswered('Interrupted'))
    })
    lines.setPrompt(rawText(question))
    lines.prompt()
    isQuiet = isSecret
  })
}
