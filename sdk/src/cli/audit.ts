import { equalBytes } from '../core/bytes.ts'
import { parseCheckpoint } from '../core/checkpoint.ts'
import { KillickError } from '../core/errors.ts'
import { type Hash, printHash } from '../core/hash.ts'
import { isObject } from '../core/json.ts'
import { openNote } from '../core/note.ts'
import { TILE_WIDTH } from '../core/tree.ts'
import type { PinnedLog } from '../verify/trust.ts'
import { type Api, openApi } from './api.ts'
import { compareWithChain, compareWithLog, type Heads, listAnchors, readHeads } from './audit/chain.ts'
import { Findings } from './audit/findings.ts'
import { readKeys } from './audit/keys.ts'
import { walkLedger } from './audit/ledger.ts'
import { LogTree, type ReadTile, tilePath } from './audit/tree.ts'
import { type Command, EXIT, readArgs, required } from './command.ts'
import { PIN_HELP, PIN_OPTIONS, readLogKey, readPinnedLog, readSourceKey } from './pins.ts'
import { checkLines, count, out, paint, printable, progress } from './terminal.ts'
import { chainOf } from './verify.ts'

export const audit: Command = {
  summary: 'check the whole ledger, and every anchor with the chain',
  help: `killick audit: check the whole ledger, and every anchor with the chain

Usage: killick audit [--url <url>] [--token <token>] --rpc <url> [--contract <0x…> --log-id <0x…>] [--log-key <vkey>]

Downloads everything the service stores and computes it all again on this machine: every event's digests and signature, the
chain of every stream, the root and signature of every batch, the log's tree and each stored tile, and every anchor against
the contract, down to whether the contract knows of entries that the log no longer shows. The service is asked for data only,
never for a verdict. Memory use does not grow with the ledger. The first event at fault is named.

  --url <url>       the service; or KILLICK_URL
  --token <token>   a reader token of the service; or KILLICK_TOKEN, which keeps it out of the list of processes
${PIN_HELP}
  --no-chain        leave the chain out, on purpose: then a rewritten log may pass
  --json            print the result as JSON

Without pins, keys and contract are taken on the operator's word, and the result says so.

Exit codes: 0 everything holds · 1 something does not · 2 wrong usage, or the service refuses (a missing token, say) ·
3 nothing failed, but the service or a node could not be reached, or the chain was not asked

Example:
  killick audit --url http://127.0.0.1:8787 --rpc https://rpc.example.com --contract 0x5FbD… --log-id 0x9c1e… \\
      --log-key ledger.example.com+1f2e3d4c+AQ…
`.trimEnd(),
  run: async (args) => {
    const { values } = readArgs(args, {
      ...PIN_OPTIONS,
      url: { type: 'string' },
      token: { type: 'string' },
      'no-chain': { type: 'boolean', default: false },
    })
    const api = openApi(required(values.url, 'url', 'KILLICK_URL'), values.token ?? process.env.KILLICK_TOKEN)
    const pins: Pins = {
      logKeys: values['log-key'].map(readLogKey),
      sourceKeys: values['source-key'].map(readSourceKey),
      log: readPinnedLog(values, values.contract === undefined ? 0 : ((await chainOf(values.rpc)) ?? 0)),
      urls: values['no-chain'] ? [] : values.rpc,
    }
    const result = await auditLedger(api, pins)
    if (values['no-chain']) result.restsOn.push('the log as it stands: whether the chain agrees was not asked')
    out(values.json ? JSON.stringify(result, null, 2) : report(result))
    if (result.checks.some(({ status }) => status === 'failed')) return EXIT.failed
    const open = result.checks.filter(
      ({ id, status }) => status === 'skipped' && !(id === 'anchors.chain' && values['no-chain']),
    )
    return open.some(({ id }) => id !== 'anchors.log') ? EXIT.undecided : EXIT.ok
  },
}

type Pins = {
  logKeys: string[]
  sourceKeys: ReturnType<typeof readSourceKey>[]
  log: PinnedLog | null
  urls: string[]
}

type Result = {
  origin: string
  size: number
  root: string
  events: number
  checks: Findings['checks']
  first: Findings['first']
  restsOn: string[]
}

async function auditLedger(api: Api, pins: Pins): Promise<Result> {
  const findings = new Findings()
  findings.expect('checkpoint', 'The log signed its checkpoint')
  findings.expect('batches', 'Every batch is whole, and signed by its source')
  findings.expect('events', 'Every event is whole, and signed by its source')
  findings.expect('streams', 'Every stream is without gap, from its first event on')
  findings.expect('root', 'The batches hash to the root in the checkpoint')
  findings.expect('tiles', 'Every stored tile is what the batches hash to')
  findings.expect('anchors.log', 'The log has the roots that were anchored')
  findings.expect('anchors.chain', 'The contract on chain holds those roots')

  const claims = await readClaims(api)
  const logs = pins.log ? [pins.log] : claims.logs
  // Before the checkpoint is read, or entries that arrive meanwhile would be anchored but not in it.
  const heads = await readHeads(logs, pins.urls)
  const anchors = await listAnchors(api)
  const note = await api.text('/checkpoint')
  const { origin, size, root } = readCheckpoint(note, pins.logKeys.length > 0 ? pins.logKeys : [claims.vkey], findings)
  const keys = await readKeys(api, pins.sourceKeys)

  const roots = new Map<number, Hash | null>([...anchors, ...heads.heads].map((anchor) => [anchor.size, null]))
  const tree = new LogTree(tileReader(api), (message, logIndex) => findings.fail('tiles', message, { logIndex }))
  let seen = { batches: 0, events: 0 }
  const shown = progress(
    () => `${count(seen.batches, 'batch').replace(/hs$/, 'hes')} of ${size}, ${count(seen.events, 'event')} checked`,
  )
  const walked = await walkLedger({
    ...{ api, size, keys, tree, findings },
    onBatch: (batches, events) => {
      seen = { batches, events }
      shown.step()
    },
    onSize: (at, rootNow) => {
      if (roots.has(at)) roots.set(at, rootNow())
    },
  })
  if (tree.size === size) {
    await tree.finish()
    findings.pass('batches', `${size}, of ${count(walked.streams, 'stream')}`)
    findings.pass(
      'events',
      `${walked.events.toLocaleString('en')}; ${walked.signatures.toLocaleString('en')} signatures with those of the batches`,
    )
    findings.pass('streams', count(walked.streams, 'stream'))
    findings.pass('tiles', count(tree.tiles, 'tile'))
    if (equalBytes(tree.root, root)) findings.pass('root', printHash(root))
    else findings.fail('root', `They hash to ${printHash(tree.root)}, the checkpoint says ${printHash(root)}`, null)
  }
  shown.done()
  const known = new Map([...roots].filter((entry): entry is [number, Hash] => entry[1] !== null))
  if (tree.size === size) compareWithLog(anchors, size, known, findings)
  const asked = anchors.filter((anchor) => logs.some((log) => isSameLog(log, anchor)))
  await checkChain(asked, heads, size, known, pins.urls, findings)
  const restsOn = [
    ...(pins.logKeys.length > 0 ? [] : ['the operator’s word on which key is the log’s']),
    ...(keys.unpinned.size > 0 ? [`the operator’s word on the keys of ${[...keys.unpinned].sort().join(', ')}`] : []),
    ...(pins.log || pins.urls.length === 0 ? [] : ['the operator’s word on which contract and log to ask for']),
  ]
  return {
    origin,
    size,
    root: printHash(root),
    events: walked.events,
    checks: findings.checks,
    first: findings.first,
    restsOn,
  }
}

async function checkChain(
  anchors: Awaited<ReturnType<typeof listAnchors>>,
  heads: Heads,
  size: number,
  roots: ReadonlyMap<number, Hash>,
  urls: readonly string[],
  findings: Findings,
): Promise<void> {
  if (urls.length === 0) findings.skip('anchors.chain', 'No node was asked; give --rpc')
  else await compareWithChain(anchors, heads, size, roots, urls, findings)
}

const isSameLog = (a: PinnedLog, b: PinnedLog): boolean =>
  a.chainId === b.chainId && a.contract === b.contract && a.logId === b.logId

/** What the service says of itself: the log's key and where it is anchored. */
async function readClaims(api: Api): Promise<{ vkey: string; logs: PinnedLog[] }> {
  const answer = await api.json('/v1/log')
  if (!isObject(answer) || typeof answer.vkey !== 'string' || !Array.isArray(answer.targets))
    throw new KillickError('json_invalid', '/v1/log does not describe a log')
  return { vkey: answer.vkey, logs: answer.targets as unknown as PinnedLog[] }
}

function readCheckpoint(
  note: string,
  logKeys: string[],
  findings: Findings,
): { origin: string; size: number; root: Hash } {
  try {
    openNote(note, logKeys)
    findings.pass('checkpoint', logKeys.join(', '))
  } catch (error) {
    if (!(error instanceof KillickError)) throw error
    findings.fail('checkpoint', error.message)
  }
  const { origin, size, root } = parseCheckpoint(note)
  return { origin, size: Number(size), root }
}

/** A partial tile may be gone once the full one exists; its beginning is the same. */
function tileReader(api: Api): ReadTile {
  return async (level, index, width) => {
    try {
      return await api.bytes(tilePath(level, index, width))
    } catch (error) {
      const isGone = error instanceof KillickError && error.details.status === 404 && width < TILE_WIDTH
      if (!isGone) throw error
      return await api.bytes(tilePath(level, index, TILE_WIDTH))
    }
  }
}

function report({ origin, size, events, checks, first, restsOn }: Result): string {
  const isFailed = checks.some(({ status }) => status === 'failed')
  const isOpen = checks.some(({ status }) => status === 'skipped')
  const [colour, word] = isFailed
    ? (['red', 'FAILED'] as const)
    : isOpen
      ? (['yellow', 'NOTHING FAILED, BUT NOT EVERYTHING WAS CHECKED'] as const)
      : (['green', 'EVERYTHING HOLDS'] as const)
  const at =
    first?.stream === undefined
      ? ''
      : `, event ${first.seq} of ${first.source}/${first.stream}${first.id ? ` (${first.id})` : ''}`
  return [
    `${paint('bold', printable(origin))}: ${size.toLocaleString('en')} entries, ${count(events, 'event')}`,
    ...checkLines(checks),
    '',
    paint(['bold', colour], word),
    ...(first ? [`First at fault: log entry ${first.logIndex}${at}: ${printable(first.message)}`] : []),
    ...(restsOn.length > 0 ? ['Rests on:', ...restsOn.map((item) => `  · ${printable(item)}`)] : []),
  ].join('\n')
}
