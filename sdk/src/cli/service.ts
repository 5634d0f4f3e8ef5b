// Commands that need a chain library and a key that pays. The anchor service has them; this file only calls it.
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { type Command, EXIT, readArgs, UsageError } from './command.ts'
import { DEPLOY, HANDOVER } from './table/operating.ts'

const SERVICE = '@killick/anchor-service'

/** The program of the anchor service that is installed beside this package. */
function findProgram(): string {
  let manifest: string
  try {
    manifest = createRequire(import.meta.url).resolve(`${SERVICE}/package.json`)
  } catch {
    throw new UsageError(`This command needs the anchor service, which is not installed here: npm install ${SERVICE}`)
  }
  return join(dirname(manifest), JSON.parse(readFileSync(manifest, 'utf8')).bin['killick-anchor-service'])
}

/** The service takes settings and keys from the environment, so that no key appears among the arguments. */
function runService(args: readonly string[]): Promise<number> {
  const child = spawn(process.execPath, [findProgram(), ...args], { stdio: 'inherit' })
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code) => resolve(code === 0 ? EXIT.ok : EXIT.failed))
  })
}

export const deploy: Command = {
  run: (args) => {
    readArgs(DEPLOY, args)
    return runService(['deploy'])
  },
}

export const handover: Command = {
  run: (args) => {
    const { positionals } = readArgs(HANDOVER, args)
    return runService(['handover', positionals[0]!])
  },
}
