#!/usr/bin/env node
// The program. commands.ts does the work, and can be imported without being run.
import { EXIT } from './command.ts'
import { main } from './commands.ts'
import { reasonOf } from './input.ts'
import { err, text } from './terminal.ts'

const args = process.argv.slice(2)

// `killick … | head` closes the pipe early; that is no error. But an exit code that is an answer, or says that everything was taken, must
// not come from that: these go on without a reader, or end with the code for what was not finished.
const GOING_ON = ['init', 'record', 'verify', 'audit', 'compare']
const UNFINISHED = ['export', 'history', 'replay']
let isLost = false
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  const [name = ''] = args
  if (error.code !== 'EPIPE') {
    // The disk is full, say: 1 would tell that what was checked is false.
    if (!isLost) err(text`killick ${name}: stdout: ${reasonOf(error)}`)
    isLost = true
    if (!GOING_ON.includes(name)) process.exit(EXIT.undecided)
  } else if (!GOING_ON.includes(name)) process.exit(UNFINISHED.includes(name) ? EXIT.undecided : EXIT.ok)
})
// Nobody hears of a stderr that is closed, or on a full disk, so it ends nothing: least of all a command that runs.
process.stderr.on('error', () => {})
process.on('exit', (code) => {
  if (isLost && code === EXIT.ok) process.exitCode = EXIT.undecided
})
process.exitCode = await main(args)
