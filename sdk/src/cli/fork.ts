// Judges evidence of a fork by what two notes show under the log's key, and by nothing else.
import { isFork, judgeFork, parseFork } from '../core/fork.ts'
import { parseJson } from '../core/json.ts'
import { EXIT } from './command.ts'
import { json, lines, out, type Printed, paint } from './terminal.ts'

const textOf = (input: Uint8Array): string => new TextDecoder().decode(input)

/** Whether a file claims to be evidence of a fork. */
export function isForkFile(input: Uint8Array): boolean {
  try {
    return isFork(parseJson(textOf(input)))
  } catch {
    return false
  }
}

/**
 * Prints the verdict on a killick-fork/1.
 * @param pinned verifier keys of the log that the caller knows; if empty, the file's own key is tried, which accuses nobody
 * @returns the exit code: 1 forked, under a pinned key; else 3. Never 0, which says that an event is genuine: notes that agree are evidence of nothing
 * @throws KillickError `fork_malformed`
 */
export function verifyFork(input: Uint8Array, pinned: readonly string[], asJson: boolean): number {
  const fork = parseFork(textOf(input))
  const verdicts = (pinned.length > 0 ? pinned : [fork.logKey]).map((key) => ({ key, ...judgeFork(fork, key) }))
  const verdict = verdicts.find(({ outcome }) => outcome !== 'undecided') ?? verdicts[0]!
  const isPinned = pinned.length > 0
  const { outcome, key, shown, told } = verdict
  const isProven = outcome === 'forked' && isPinned
  if (asJson) out(json({ ...verdict, pinned: isPinned }))
  else {
    const [colour, word] = isProven
      ? (['red', 'FORKED: two signed notes contradict each other'] as const)
      : outcome === 'consistent'
        ? (['yellow', 'NO FORK: the notes do not contradict each other, and nothing else was checked'] as const)
        : (['yellow', 'UNDECIDED'] as const)
    const whose = isPinned
      ? [`Key: ${key}, pinned by you`]
      : [
          `Key: ${key}, as the file itself names it`,
          'Anyone can make such a file under a key of their own: pin the log’s key (--log-key) to know whose log this is',
        ]
    out(lines([paint(['bold', colour], word), ...whose, ...list('Shown', shown), ...list('Told', told)]))
  }
  return isProven ? EXIT.failed : EXIT.undecided
}

const list = (title: string, items: readonly string[]): Printed[] => [
  `${title}:`,
  ...items.map((item) => `  · ${item}`),
]
