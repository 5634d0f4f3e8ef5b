// `npm start`: the whole way of an event, from this checkout's git history to a verdict, on this machine alone.
//
//   npm start                  stays up until Ctrl-C
//   npm start -- --once        stops by itself; exits with 0 when the proof was verified
//
// (With `exec` in package.json npm waits for this program, and not for a shell that Ctrl-C ends at once. Windows has no `exec`; run
// node scripts/node24.mjs scripts/start.ts there.)
//
// Ledger and chain stay in ./data (KILLICK_DATA), so the next start finds earlier anchors again. PORT, HOST, DATABASE_URL and the
// other settings of anchor-service/src/config.ts apply here too, except those that say where to anchor.
import { mkdir, writeFile } from 'node:fs/promises'
import { isAbsolute, join, relative, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { loadConfig, StartError, startAnchoring, startService } from '@killick/anchor-service'
import { KillickError, parseEvent, parseProof } from '@killick/sdk/core'
import { type LedgerApi, openApi } from './lib/api.ts'
import { readHistory } from './lib/history.ts'
import { type KeptChain, openKeptChain } from './lib/kept-chain.ts'
import { startChild } from './lib/processes.ts'
import { recordHistory, registerSource, sourceFiles } from './lib/record-history.ts'
import { bold, count, dim, red } from './lib/report.ts'
import { Interrupted, Obstacle, Steps } from './lib/steps.ts'
import { buildPage } from './page.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const ANCHOR_WAIT_MS = 60_000
/** Settings that would anchor somewhere else. */
const ELSEWHERE = ['KILLICK_TARGETS', 'KILLICK_TARGET', 'KILLICK_CHAIN_ID', 'KILLICK_LOG_ID', 'KILLICK_SIGNER_URL']

async function start(steps: Steps, once: boolean): Promise<{ exitCode: number; chain: KeptChain['chain'] }> {
  const page = buildPage()
  page.catch(() => {}) // awaited below
  const dataFolder = resolve(process.env.KILLICK_DATA || 'data')
  const {
    chain,
    contract,
    key: chainKey,
  } = await steps.run(
    'Starting a local Ethereum chain',
    async () => {
      const opened = await openKeptChain(join(dataFolder, 'chain'))
      steps.onClose(() => opened.stop())
      return opened
    },
    ({ chain, contract, restored }) =>
      `Ethereum chain ${chain.chainId} at ${chain.url}, contract ${contract}${toldOf(restored)}`,
  )

  const config = loadConfig({
    KILLICK_LOG_LEVEL: 'error',
    KILLICK_ANCHOR_INTERVAL_MS: '2000',
    KILLICK_CONFIRMATIONS: '1',
    ...process.env,
    ...Object.fromEntries(ELSEWHERE.map((name) => [name, undefined])),
    KILLICK_RPC_URL: chain.url,
    KILLICK_CONTRACT: contract,
    KILLICK_CHAIN_KEY: chainKey,
  })
  const service = await steps.run(
    'Starting PostgreSQL and the service; the first start makes the database',
    () => startService(config, startAnchoring),
    ({ url }) => `Ledger in ${shown(config.dataFolder)}, service at ${url}`,
  )
  steps.onClose(() => service.close())
  const api = openApi(service.url, service.tokens)

  const history = await readHistory(root)
  const files = sourceFiles(config.dataFolder, history.source)
  const recording = await steps.run(
    `Recording ${history.from}`,
    async (say) => {
      await registerSource(api, files)
      const progress = (done: number, of: number) =>
        say(`Recording ${history.from}: ${done} of ${count(of, history.noun)}`)
      return recordHistory(api, files, history, { url: service.url, logKey: service.vkey, progress })
    },
    ({ added, total }) =>
      added === 0
        ? `${count(total, history.noun)} from ${history.from} were recorded before; nothing new`
        : `${count(added, history.noun)} recorded from ${history.from}${added < total ? `, ${total} in all` : ''}`,
    { canLeave: true },
  )

  const proof = await steps.run(
    'Waiting for the anchor',
    () => waitForAnchor(api, recording.newest, contract),
    ({ anchor }) => `Anchored: entries 0 to ${anchor.size - 1} of the log, in block ${anchor.block}`,
    { canLeave: true },
  )
  const proofFile = join(config.dataFolder, 'proofs', `${recording.newest}.json`)
  await mkdir(join(config.dataFolder, 'proofs'), { recursive: true })
  await writeFile(proofFile, proof.text)

  const verify = [
    ...['verify', shown(proofFile), '--rpc', chain.url],
    ...['--contract', contract, '--log-id', proof.anchor.logId, '--log-key', service.vkey],
    ...['--source-key', `${history.source}=${shown(files.publicKey)}`],
  ]
  console.log(`\n${bold(`The newest ${history.noun}, checked as a stranger would, with everything pinned:`)}\n`)
  const verifier = await startChild(process.execPath, [join(root, 'sdk/src/cli/main.ts'), ...verify], {
    cwd: root,
    stdio: 'inherit',
  })
  const exitCode = (await verifier.exited).code ?? 1
  await page
  if (once) {
    console.log(`
${bold('The proof')}       ${shown(proofFile)}
${bold('To look at it')}   npm start, which keeps the ledger and the chain running; both have stopped now`)
    return { exitCode, chain }
  }
  const share = { eventId: recording.newest, fields: Object.keys(parseEvent(parseProof(proof.text).event).fields) }
  const link = await api.post<{ url: string }>('/v1/shares', share, 'reader')

  const signIn = await api.post<{ url: string }>('/console/sign-in-links', {}, 'reader')

  const killick = 'npm run -s killick --'
  console.log(`
${bold('Three things to click first')}

  ${bold('A proof')}         ${link.url}
                  the newest ${history.noun}, checked by your own browser
  ${bold('The console')}     ${signIn.url}
                  signs you in, once, within ten minutes; later with the token that the search below has
  ${bold('The front door')}  ${service.url}/
                  how the log stands, the API with a form to try it, and the ways on

${bold('The proof file')}  ${shown(proofFile)}
${bold('Your project')}    npx -p @killick/sdk killick init --url ${service.url} --token-file ${quote(resolve(config.dataFolder, 'keys/admin.token'))}
${bold('Check it again')}  ${killick} ${verify.map(quote).join(' ')}
${bold('Search')}          curl -H 'Authorization: Bearer ${service.tokens.reader}' '${service.url}/v1/events?limit=5'
${bold('The log')}         curl ${service.url}/checkpoint
${bold('More')}            ${killick} --help; README.md

The chain is on this machine alone: whoever runs it can rewrite it. It is kept beside the ledger, so proofs hold
after a restart, as long as ${shown(dataFolder)} does.`)
  return { exitCode, chain }
}

function toldOf(restored: number | null): string {
  if (restored === null) return '; the chain of earlier starts is lost, and proofs anchored on it are no longer valid'
  return restored === 0 ? '' : `, with ${count(restored, 'block')} of earlier starts`
}

interface Anchor {
  contract: string
  logId: string
  size: number
  block: number
}

/** The proof of an event, as soon as it is anchored by this contract. */
async function waitForAnchor(
  api: LedgerApi,
  event: string,
  contract: string,
): Promise<{ text: string; anchor: Anchor }> {
  for (const until = Date.now() + ANCHOR_WAIT_MS; Date.now() < until; await sleep(200)) {
    const text = await api.text(`/v1/proofs/${event}`)
    const { anchors } = JSON.parse(text) as { anchors: Anchor[] }
    const anchor = anchors.find((each) => each.contract === contract)
    if (anchor) return { text, anchor }
  }
  const { anchors } = await api.get<{ anchors: { state: string; detail: string | null }[] }>('/v1/anchors?limit=1')
  const last = anchors[0] ? `the last is ${anchors[0].state} (${anchors[0].detail ?? 'no detail'})` : 'none was begun'
  throw new Obstacle(
    `No anchor after ${ANCHOR_WAIT_MS / 1000} s: ${last}. Set KILLICK_LOG_LEVEL=info to see what the worker says.`,
  )
}

/** The path as a command in the root of the repository would name it. */
function shown(path: string): string {
  const within = relative(root, path)
  return within.startsWith('..') || isAbsolute(within) ? path : within
}

function quote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`
}

/** A sentence about something that a person can mend; null for a fault of ours. */
function explain(error: unknown): string | null {
  if (error instanceof StartError || error instanceof Obstacle) return error.message
  if (!(error instanceof KillickError)) return null
  if (error.code === 'spool_locked')
    return `${error.message} Another npm start seems to be using this folder: stop it first.`
  return `${error.message} (${error.code}).`
}

async function main(args: string[]): Promise<number> {
  const once = args.includes('--once')
  const unknown = args.find((arg) => arg !== '--once')
  if (unknown !== undefined) {
    console.error(`There is no option ${unknown}. Usage: npm start [-- --once]`)
    return 2
  }
  const steps = new Steps()
  try {
    const { exitCode, chain } = await start(steps, once)
    if (once) return exitCode
    console.log(dim('\nEverything is running. Ctrl-C stops it; the ledger stays.'))
    const lost = chain.exited.then(() => {
      throw new Obstacle('The local chain has ended unexpectedly. Run npm start again.')
    })
    lost.catch(() => {})
    await Promise.race([steps.stopped, lost])
    return 0
  } catch (error) {
    if (error instanceof Interrupted) return 130
    console.error(`\n${red(explain(error) ?? `This is a fault in Killick: ${(error as Error).stack}`)}`)
    return 1
  } finally {
    await steps.close()
  }
}

// Setting only the exit code would let an unfinished step go on.
process.exit(await main(process.argv.slice(2)))
