#!/usr/bin/env node
import { readFileSync } from 'node:fs'
import { KillickError } from '../core/errors.ts'
import { anchors } from './anchors.ts'
import { audit } from './audit.ts'
import { type Command, EXIT, UsageError } from './command.ts'
import { keygen } from './keygen.ts'
import { proof } from './proof.ts'
import { record } from './record.ts'
import { deploy, handover } from './service.ts'
import { share } from './share.ts'
import { err, out, paint } from './terminal.ts'
import { verify } from './verify.ts'

const COMMANDS: Record<string, Command> = { keygen, record, proof, share, verify, audit, anchors, deploy, handover }

const HELP = `killick: record, prove and verify audit events

Usage: killick <command> [options]

${Object.entries(COMMANDS)
  .map(([name, { summary }]) => `  ${name.padEnd(9)} ${summary}`)
  .join('\n')}

  killick <command> --help   explains a command, with examples
  killick --version

Exit codes: 0 done, or verified · 1 failed · 2 wrong usage or unreadable input · 3 could not decide`

async function main([name, ...args]: string[]): Promise<number> {
  if (name === '--version') {
    out(JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')).version)
    return EXIT.ok
  }
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    const topic = args[0] === undefined ? undefined : COMMANDS[args[0]]
    ;(name === undefined ? err : out)(topic ? topic.help : HELP)
    return name === undefined ? EXIT.usage : EXIT.ok
  }
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined
  if (!command) {
    err(`killick: there is no command ${name}; the commands are ${Object.keys(COMMANDS).join(', ')}`)
    return EXIT.usage
  }
  if (args.includes('--help') || args.includes('-h')) {
    out(command.help)
    return EXIT.ok
  }
  try {
    return await command.run(args)
  } catch (error) {
    if (!(error instanceof KillickError || error instanceof UsageError)) throw error
    err(`${paint('red', `killick ${name}:`, process.stderr)} ${error.message}`)
    if (error instanceof UsageError) err(`Run: killick ${name} --help`)
    return error instanceof KillickError && error.code === 'unreachable' ? EXIT.undecided : EXIT.usage
  }
}

// `killick … | head` closes the pipe early; that is no error of ours.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(EXIT.ok)
  throw error
})
process.exitCode = await main(process.argv.slice(2))
