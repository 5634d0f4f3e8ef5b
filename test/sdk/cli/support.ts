// Runs the real command in a process of its own.
import { spawn } from 'node:child_process'
import { createReadStream } from 'node:fs'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'

const main = fileURLToPath(new URL('../../../sdk/src/cli/main.ts', import.meta.url))

export type Run = { code: number | null; out: string; err: string }

/** `killick …args`, with `input` on stdin, or the file `stdin`. The environment is ours without any KILLICK_ setting. */
export async function killick(
  args: string[],
  options: { input?: string; stdin?: string; env?: Record<string, string>; cwd?: string } = {},
): Promise<Run> {
  const inherited = Object.entries(process.env).filter(([name]) => !/^(KILLICK_|NO_COLOR|FORCE_COLOR)/.test(name))
  const child = spawn(process.execPath, [main, ...args], {
    env: { ...Object.fromEntries(inherited), ...options.env },
    ...(options.cwd !== undefined && { cwd: options.cwd }),
  })
  child.stdin.on('error', () => {})
  if (options.stdin === undefined) child.stdin.end(options.input ?? '')
  else
    createReadStream(options.stdin)
      .on('error', () => {})
      .pipe(child.stdin)
  const closed = new Promise<number | null>((resolve) => child.on('close', resolve))
  const [out, err, code] = await Promise.all([text(child.stdout), text(child.stderr), closed])
  return { code, out, err }
}
