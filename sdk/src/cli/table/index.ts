// Every command of `killick`, in the order in which help lists them. Data only: whoever wants to print a reference may import it.

import { BUNDLE } from './bundle.ts'
import { AUDIT, COMPARE, VERIFY } from './checking.ts'
import type { CommandEntry, CommandGroup } from './entry.ts'
import { ERASE, ERASURES, HOLDS, PRUNE, RETENTION } from './erasing.ts'
import { HISTORY } from './history.ts'
import { COMPLETION, MAN } from './itself.ts'
import { DEPLOY, HANDOVER } from './operating.ts'
import { ANCHORS, EXPORT, KEYS, PROOF, SEARCH, SHARE } from './reading.ts'
import { ACTIONS, INIT, KEYGEN, RECORD, REGISTER } from './recording.ts'
import { REPLAY } from './replay.ts'
import { RUN } from './running.ts'

export type { CommandEntry, OptionEntry } from './entry.ts'

export const GROUPS: readonly CommandGroup[] = [
  { title: 'Record', commands: [INIT, KEYGEN, REGISTER, ACTIONS, RECORD, RUN] },
  { title: 'Read', commands: [SEARCH, EXPORT, BUNDLE, HISTORY, REPLAY, KEYS, PROOF, SHARE, ANCHORS] },
  { title: 'Check', commands: [VERIFY, AUDIT, COMPARE] },
  { title: 'Erase', commands: [ERASE, ERASURES, RETENTION, HOLDS, PRUNE] },
  { title: 'Operate', commands: [DEPLOY, HANDOVER] },
  { title: 'This program', commands: [COMPLETION, MAN] },
]

export const COMMANDS: readonly CommandEntry[] = GROUPS.flatMap(({ commands }) => commands)

/** Of the program as a whole. */
export const PROGRAM = {
  summary: 'record, prove and verify audit events',
  exits: [
    [0, 'done, or verified'],
    [1, 'failed'],
    [2, 'wrong usage or unreadable input'],
    [3, 'could not decide'],
  ],
} as const
