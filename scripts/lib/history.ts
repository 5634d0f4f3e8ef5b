import { execFileSync, spawn } from 'node:child_process'
import { readFileSync, realpathSync } from 'node:fs'
import { basename } from 'node:path'
import type { Change, EventInput } from '@killick/sdk'

/** Real input for the first events: what happened, oldest first, and who says so. */
export interface History {
  /** The source's name in the ledger. */
  source: string
  /** What one event is, for people: `commit`. */
  noun: string
  /** A word on where the events come from, for people. */
  from: string
  events: EventInput[]
}

/** The newest commits that are recorded; more than that would outlast the patience of a first look. */
const MAX_COMMITS = 10_000
/** Files named in one event; the rest is only counted. */
const MAX_FILES = 200

/** The first target names what an event is about; an event whose subject is in the ledger already is not recorded again. */
export function subjectOf(fields: { targets?: unknown }): string {
  const [first] = Array.isArray(fields.targets) ? (fields.targets as { id?: unknown }[]) : []
  return typeof first?.id === 'string' ? first.id : ''
}

/** The git history of the checkout in `root`, or the bundled sample if there is none. */
export async function readHistory(root: string): Promise<History> {
  if (isCheckout(root)) {
    const log = await readLog(root)
    const events = parseLog(log, basename(root))
    if (events.length > 0) return { source: 'git', noun: 'commit', from: 'the git history of this checkout', events }
  }
  const lines = readFileSync(new URL('../sample/events.ndjson', import.meta.url), 'utf8')
    .trim()
    .split('\n')
  return {
    source: 'sample',
    noun: 'event',
    from: 'the bundled sample, because this is no git checkout',
    events: lines.map((line) => JSON.parse(line) as EventInput),
  }
}

/** A folder inside somebody else's repository is no checkout of its own. */
function isCheckout(root: string): boolean {
  try {
    const top = execFileSync('git', ['rev-parse', '--show-toplevel'], {
      cwd: root,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim()
    return realpathSync(top) === realpathSync(root)
  } catch {
    return false
  }
}

const FIELDS = ['%H', '%P', '%an', '%ae', '%aI', '%cn', '%ce', '%cI', '%s']

/** Every commit starts with a record separator; its header ends, like every path, in NUL. */
async function readLog(root: string): Promise<string> {
  const format = `--format=%x1e${FIELDS.join('%x1f')}`
  const order = ['--topo-order', `--max-count=${MAX_COMMITS}`]
  const git = spawn('git', ['log', ...order, '--raw', '--no-abbrev', '-M', '-z', format, 'HEAD'], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  const chunks: Buffer[] = []
  for await (const chunk of git.stdout) chunks.push(chunk)
  return Buffer.concat(chunks).toString('utf8')
}

/** @returns One event per commit, oldest first: who, what, which files with their blobs before and after, when. */
export function parseLog(log: string, repository: string): EventInput[] {
  return log
    .split('\x1e')
    .slice(1)
    .map((record) => parseCommit(record, repository))
    .reverse()
}

function parseCommit(record: string, repository: string): EventInput {
  const [header = '', ...raw] = record.split('\0')
  const [
    id = '',
    parents = '',
    name = '',
    email = '',
    at = '',
    committer = '',
    by = '',
    committedAt = '',
    subject = '',
  ] = header.split('\x1f')
  const changes = parseChanges(raw)
  return {
    action: 'git.commit',
    actor: { type: 'person', id: email.slice(0, 512) || name.slice(0, 512) || 'unknown', name },
    targets: [
      { type: 'commit', id, name: subject },
      { type: 'repository', id: repository },
    ],
    outcome: 'success',
    changes: changes.slice(0, MAX_FILES),
    metadata: {
      parents: parents === '' ? [] : parents.split(' '),
      committer: { id: by, name: committer },
      committedAt,
      filesChanged: changes.length,
    },
    // git takes dates that no calendar has; such a commit has its time in the metadata only.
    ...(/^\d{4}-/.test(at) && !Number.isNaN(Date.parse(at)) && { occurredAt: at }),
  }
}

/** `:<mode> <mode> <blob> <blob> <status>` NUL path, and a second path after a rename or a copy. */
function parseChanges(raw: string[]): Change[] {
  const changes: Change[] = []
  for (let i = 0; i < raw.length; i++) {
    const [, , before = '', after = '', status = ''] = raw[i]!.trimStart().split(' ')
    if (!raw[i]!.trimStart().startsWith(':')) continue
    const from = raw[++i]!
    const path = /^[RC]/.test(status) ? raw[++i]! : from
    const blob = (hash: string, at: string) => (/^0+$/.test(hash) ? null : at === path ? hash : `${hash} ${at}`)
    changes.push({ path, before: blob(before, from), after: blob(after, path) })
  }
  return changes
}
