#!/usr/bin/env node
// The program. commands.ts does the work, and can be imported without being run.
import { EXIT } from './command.ts'
import { main } from './commands.ts'

// `killick … | head` closes the pipe early; that is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(EXIT.ok)
  throw error
})
process.exitCode = await main(process.argv.slice(2))
