// Signals that reach this program are the command's: they are passed on, unless the terminal has sent them to both already.
import type { ChildProcess } from 'node:child_process'
import { readFileSync } from 'node:fs'

const PASSED_ON = ['SIGTERM', 'SIGHUP', 'SIGUSR1', 'SIGUSR2'] as const
/** A terminal sends these to every process of the group in its foreground. */
const OF_TERMINALS = ['SIGINT', 'SIGQUIT'] as const

export type SignalRelay = {
  /** Names the command that they go to. Once it has ended they go nowhere. */
  to(child: Pick<ChildProcess, 'kill'>): void
  /** From now on they are this program's again. */
  end(): void
}

/** Begins to pass signals on. Until `end`, none of them ends this program. */
export function relaySignals(): SignalRelay {
  let child: Pick<ChildProcess, 'kill'> | undefined
  const send = (signal: NodeJS.Signals) => void child?.kill(signal)
  const handlers: [NodeJS.Signals, () => void][] = [
    ...PASSED_ON.map((signal): [NodeJS.Signals, () => void] => [signal, () => send(signal)]),
    ...OF_TERMINALS.map((signal): [NodeJS.Signals, () => void] => [signal, () => isInForeground() || send(signal)]),
    [
      'SIGTSTP',
      () => {
        if (!isInForeground()) send('SIGTSTP')
        // The shell that waits for this program sees it stopped, as the command is.
        process.kill(process.pid, 'SIGSTOP')
      },
    ],
    ['SIGCONT', () => send('SIGCONT')],
  ]
  // Windows has no signals, and ends both programs of a console itself.
  if (process.platform !== 'win32') for (const [signal, handler] of handlers) process.on(signal, handler)
  return {
    to: (command) => {
      child = command
    },
    end: () => {
      for (const [signal, handler] of handlers) process.off(signal, handler)
    },
  }
}

/** Whether this process belongs to the group in the foreground of its terminal, as does the command. */
function isInForeground(): boolean {
  try {
    const stat = readFileSync('/proc/self/stat', 'latin1')
    const [, , group, , terminal, foreground] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return terminal !== '0' && group === foreground
  } catch {
    return process.stdin.isTTY === true || process.stdout.isTTY === true
  }
}
