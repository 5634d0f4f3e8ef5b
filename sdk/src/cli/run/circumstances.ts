// Who runs a command, and where: what the system says, and beside it what the environment claims.
import { readFileSync } from 'node:fs'
import { hostname, userInfo } from 'node:os'
import type { Party, RecordableObject } from '../../core/fields.ts'

/** The number that stands for "nobody has logged in". */
const NO_LOGIN = 2 ** 32 - 1

/** The user as the system knows it. A user id without an entry in the table of users stands for itself. */
export function actorOf(): Party {
  const uid = process.getuid?.()
  const name = userName()
  return { type: 'user', id: name ?? `uid-${uid}`, ...(uid !== undefined && { uid, gid: process.getgid!() }) }
}

/**
 * Members of the event's context. `loginUid` is kept by the kernel from the login on, through su and sudo; `sudoUser` and `logname`
 * are what the environment says.
 */
export function circumstancesOf(env: NodeJS.ProcessEnv): RecordableObject {
  const { SUDO_USER: sudoUser, LOGNAME: logname, SSH_CONNECTION: connection } = env
  const loginUid = loginUidOf()
  const ip = connection?.split(' ')[0]
  return {
    host: hostname(),
    cwd: workingFolder(),
    pid: process.pid,
    ...(ip && { ip }),
    ...(loginUid !== null && { loginUid }),
    ...(sudoUser && { sudoUser: sudoUser.slice(0, 512) }),
    ...(logname && { logname: logname.slice(0, 512) }),
  }
}

/** What sshd put into the environment, if it started this; texts as they are. */
export function sshOf({ SSH_CONNECTION, SSH_ORIGINAL_COMMAND }: NodeJS.ProcessEnv): {
  connection: string
  command: string | null
} | null {
  return SSH_CONNECTION ? { connection: SSH_CONNECTION, command: SSH_ORIGINAL_COMMAND ?? null } : null
}

/** What `--ssh` runs: the user's shell with what the client asked for, or as a login shell. */
export function sshCommand({ SSH_ORIGINAL_COMMAND: asked }: NodeJS.ProcessEnv): { command: string[]; argv0?: string } {
  const shell = userShell() || '/bin/sh'
  if (asked) return { command: [shell, '-c', asked] }
  return { command: [shell], argv0: `-${shell.slice(shell.lastIndexOf('/') + 1)}` }
}

function userName(): string | null {
  try {
    return userInfo().username || null
  } catch {
    return null
  }
}

function userShell(): string | null {
  try {
    return userInfo().shell
  } catch {
    return null
  }
}

function workingFolder(): string {
  try {
    return process.cwd()
  } catch {
    return '(removed)'
  }
}

function loginUidOf(): number | null {
  try {
    const uid = Number(readFileSync('/proc/self/loginuid', 'latin1'))
    return Number.isSafeInteger(uid) && uid !== NO_LOGIN ? uid : null
  } catch {
    return null
  }
}
