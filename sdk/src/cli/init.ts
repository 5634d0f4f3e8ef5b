// `killick init`. Each step looks at what is there, so that a run goes on where an earlier one ended, however that ended.
import { existsSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { basename, join, relative, resolve } from 'node:path'
import { type Api, openApi } from '../audit/api.ts'
import { generateKey, readKeyFile, signerOf, writeKeyFile } from '../client/key.ts'
import { openAuditLog } from '../client/open.ts'
import { shareEvent } from '../client/share.ts'
import { Spool } from '../client/spool.ts'
import { CONFIG_FILE, type FirstUse, type KillickConfig, loadConfig, NO_SPOOL } from '../config/config.ts'
import { parseTrust, type TrustFile } from '../config/trust-file.ts'
import { KillickError } from '../core/errors.ts'
import { isSourceName } from '../core/event.ts'
import { isObject } from '../core/json.ts'
import { type PublicJwk, thumbprint } from '../core/jwk.ts'
import { printProof } from '../core/proof.ts'
import { openNodes } from '../verify/rpc.ts'
import type { PinnedLog } from '../verify/trust.ts'
import { inWords } from '../words/words.ts'
import { type Access, accessTo, checkToken, checkUrl, isTokenRefusal, openAccess } from './access.ts'
import { type Args, type Command, EXIT, integer, readArgs, Unanswered, UsageError } from './command.ts'
import { EXAMPLE_FILE, ignoreFiles, nameOf, writeConfig, writeExample } from './init-files.ts'
import { dropState, type InitState, keepState, loadState, replaceFile, STATE_FILE } from './init-state.ts'
import { loadTrust, readLogKey, readPins } from './pins.ts'
import { ask, askSecret, confirm, isPersonThere } from './prompt.ts'
import { fetchProof } from './proof.ts'
import { readLog, registerKey } from './register.ts'
import { VERIFY } from './table/checking.ts'
import { INIT } from './table/recording.ts'
import { err, json, lines, out, type Printed, paint, text } from './terminal.ts'
import { judgeBy, missingLines, outcomeLines } from './verify.ts'

const PROOF_FILE = 'killick-proof.json'
const DEFAULT_URL = 'http://127.0.0.1:8787'
/** How long the service may take to accept the first event. */
const ACCEPT_MS = 30_000

export const init: Command = {
  run: async (args) => {
    const given = readArgs(INIT, args)
    const folder = process.cwd()
    const state = loadState(folder)
    const config = loadConfig(join(folder, CONFIG_FILE))
    if (config !== null && state === null && !given.values.again) throw alreadyThere(config)
    const run = new Run(folder, given, state ?? {}, config)
    if (state !== null && Object.keys(state).length > 0) say(`Going on where an earlier run ended (${STATE_FILE}).`)
    try {
      return await run.all()
    } catch (error) {
      if (!(error instanceof Unanswered)) throw error
      throw new Unanswered('Interrupted. Nothing is lost: killick init goes on where it was')
    }
  },
}

const say = (words: Printed): void => err(words)
const done = (words: Printed): void => err(text`${paint('green', '✓', process.stderr)} ${words}`)

/** A person is told what is there, and how to go on; nothing is touched. */
function alreadyThere({ file, url, source, key, pins }: KillickConfig): KillickError {
  const found = [
    ...[url && `the service ${url}`, source && `the source ${source}`, key && `the key ${key}`],
    pins && 'pins',
  ].filter((part) => typeof part === 'string')
  return new KillickError(
    'config_exists',
    `${basename(file)} is here already and names ${found.join(', ') || 'nothing'}. Nothing was changed. To go through the steps with it: killick init --again; to begin anew, move it away; to register its source elsewhere: killick register`,
    { file, url: url ?? null, source: source ?? null },
  )
}

type Pinned = { readonly logKey: string; readonly logs: readonly PinnedLog[]; readonly rpcs: readonly string[] }

class Run {
  readonly #folder: string
  readonly #given: Args<typeof INIT.options>
  readonly #state: InitState
  readonly #config: KillickConfig | null
  /** Questions are asked. */
  readonly #asks: boolean
  readonly #trust: TrustFile | null

  constructor(folder: string, given: Args<typeof INIT.options>, state: InitState, config: KillickConfig | null) {
    this.#folder = folder
    this.#given = given
    this.#state = state
    this.#config = config
    this.#asks = !given.values.yes && isPersonThere()
    this.#trust = given.values.trust === undefined ? null : loadTrust(given.values.trust)
    this.#checkAnswers()
  }

  async all(): Promise<number> {
    const { values } = this.#given
    const { url, vkey } = await this.#service()
    const source = await this.#source()
    const { file: keyFile, jwk } = await this.#key(source)
    const access = await this.#register(url, source, jwk, keyFile)
    const settings = {
      ...{ url, source, key: this.#written(keyFile), spool: this.#written(this.#spool()) },
      ...{ logKey: vkey, jwk },
    }
    const pinned = await this.#pin(url, vkey, settings)
    if (writeExample(this.#folder)) done(`${EXAMPLE_FILE} written: it records an event in a few lines`)
    const event = await this.#record(settings, keyFile)
    return this.#prove(event, access, settings, pinned, integer(values.wait, 'wait', 0))
  }

  /** Without a person to ask, everything that is missing is named at once. */
  #checkAnswers(): void {
    const { values, from } = this.#given
    const setting = (name: 'url' | 'source') => values[name] ?? this.#state[name] ?? this.#config?.[name]
    for (const name of ['url', 'source', 'key', 'spool'] as const) {
      const kept = this.#config?.[name]
      const given = from[name] === 'default' ? undefined : values[name]
      const isPath = name === 'key' || (name === 'spool' && given !== NO_SPOOL)
      if (kept !== undefined && given !== undefined && (isPath ? resolve(this.#folder, given) : given) !== kept)
        throw new UsageError(`--${name} ${given} is not what ${CONFIG_FILE} says (${kept}): change or move that first`)
    }
    if (this.#asks) return
    const needed = [
      ...(setting('url') || values.yes ? [] : ['--url']),
      ...(setting('source') || values.yes ? [] : ['--source']),
      ...(values.yes ? [] : ['--yes, to take the log’s key and its contract from the service']),
    ]
    if (needed.length > 0) throw new UsageError(`There is no terminal to ask at; give ${needed.join(' and ')}`)
  }

  #keep(state: InitState): void {
    const isOther = (name: 'url' | 'source' | 'key') => (state[name] ?? this.#state[name]) !== this.#state[name]
    if (this.#state.url !== undefined && (isOther('url') || isOther('source') || isOther('key'))) {
      // What was recorded under other answers is no event of this source in this log; nor is its key this one's.
      delete this.#state.event
      delete this.#state.link
      if (isOther('source') && this.#state.key === `${this.#state.source}.key.json`) delete this.#state.key
    }
    Object.assign(this.#state, state)
    keepState(this.#folder, this.#state)
  }

  #spool(): string {
    const { values, from } = this.#given
    const kept = this.#config?.spool ?? (from.spool === 'default' ? this.#state.spool : undefined)
    const spool = kept ?? values.spool
    return spool === NO_SPOOL ? NO_SPOOL : resolve(this.#folder, spool)
  }

  /** A path as killick.json has it. */
  #written(path: string): string {
    if (path === NO_SPOOL) return path
    const within = relative(this.#folder, path)
    return within.startsWith('..') ? path : within.replaceAll('\\', '/')
  }

  /** The service, and the key of its log. */
  async #service(): Promise<{ url: string; vkey: string }> {
    const { values } = this.#given
    const known = values.url ?? this.#state.url ?? this.#config?.url
    const pinned = values['log-key'] === undefined ? null : readLogKey(values['log-key'])
    const wanted = pinned ?? this.#config?.logKey ?? this.#trust?.logKeys[0] ?? null
    const url = known ?? (this.#asks ? await ask('Service', DEFAULT_URL) : DEFAULT_URL)
    checkUrl(url)
    const { vkey } = await readLog(url.replace(/\/+$/, ''), wanted)
    this.#keep({ url: url.replace(/\/+$/, '') })
    done(`The service answers: ${this.#state.url}`)
    return { url: this.#state.url!, vkey }
  }

  async #source(): Promise<string> {
    const known = this.#given.values.source ?? this.#state.source ?? this.#config?.source
    const standard = nameOf(this.#folder)
    for (;;) {
      const source = known ?? (this.#asks ? await ask('Name of this source', standard) : standard)
      const fault = 'a source has 1 to 64 lower-case letters, digits, dots, underscores or hyphens'
      if (isSourceName(source)) {
        this.#keep({ source })
        return source
      }
      if (known !== undefined || !this.#asks) throw new UsageError(`${source}: ${fault}`)
      say(`${source}: ${fault}`)
    }
  }

  /** The key: the one that is there, or a new one. @throws KillickError `key_unsafe`, `key_invalid` */
  async #key(source: string): Promise<{ file: string; jwk: PublicJwk }> {
    const named = this.#given.values.key ?? this.#config?.key ?? this.#state.key ?? `${source}.key.json`
    const file = resolve(this.#folder, named)
    // Before there is anything to ignore: whoever waits for a token may commit meanwhile.
    const ignored = ignoreFiles(
      this.#folder,
      [file, this.#spool(), join(this.#folder, STATE_FILE)].filter((path) => path !== NO_SPOOL),
    )
    for (const { name, added } of ignored) done(`${name}: ${added.join(', ')}`)
    if (!existsSync(file)) {
      await writeKeyFile(file, generateKey())
      done(`Key made: ${this.#written(file)}, which only you can read`)
    }
    const { jwk } = signerOf(await readKeyFile(file))
    const spool = this.#spool()
    // If it is another source's, that is said before this one is registered, and before killick.json names it.
    if (spool !== NO_SPOOL && existsSync(spool))
      await (await Spool.open({ dir: spool, source, key: jwk, maxBytes: 256 << 20 })).close()
    this.#keep({ key: this.#written(file), spool: this.#written(spool) })
    const publicFile = `${file.replace(/(\.key)?(\.json)?$/, '')}.pub.json`
    if (!existsSync(publicFile)) replaceFile(publicFile, `${JSON.stringify(jwk, null, 2)}\n`)
    return { file, jwk }
  }

  /** Registers the key, unless it is. @returns the access, which has a token that the service takes */
  async #register(url: string, source: string, jwk: PublicJwk, keyFile: string): Promise<Access & { token: string }> {
    const { values } = this.#given
    const access = accessTo(url, values, ['KILLICK_ADMIN_TOKEN', 'KILLICK_TOKEN'])
    const byHand = `killick register --source ${source} --key ${this.#written(keyFile).replace(/(\.key)?(\.json)?$/, '')}.pub.json --url ${url}`
    for (;;) {
      const asked = access.token === undefined && this.#asks
      if (access.hint !== undefined) say(access.hint)
      const token = access.token ?? (asked ? await askSecret(`Admin token of ${url} (not shown)`) : '')
      if (token === '')
        throw new UsageError(
          `A token is missing: --token-file, or KILLICK_ADMIN_TOKEN with KILLICK_URL. If somebody else administers the service, have them run: ${byHand}; then run killick init again with a reader token`,
        )
      checkToken(token, url, values['plain-http'])
      const mine = { ...access, token }
      try {
        const entry = await registerKey(mine, source, { jwk })
        done(
          entry === null
            ? `The key is registered for ${source}`
            : `Registered: the key ${thumbprint(jwk)} for ${source}, by entry ${entry} of the log`,
        )
        return mine
      } catch (error) {
        if (!isTokenRefusal(error)) throw error
        const { message, details } = error as KillickError
        if (!asked) throw new KillickError('token_refused', `${message} An administrator can run: ${byHand}`, details)
        say(text`${paint('red', '✗', process.stderr)} ${message}`)
      }
    }
  }

  /** What the service says to pin; taken if the person agrees, and kept in killick.json as pinned on first use. */
  async #pin(url: string, vkey: string, settings: Settings): Promise<Pinned> {
    const kept = this.#config?.pins
    const published = await this.#published(url)
    const pick = <T>(...lists: (readonly T[] | undefined)[]): readonly T[] => lists.find((list) => list?.length) ?? []
    const logs = pick(kept?.logs, this.#trust?.logs, published.logs)
    const rpcs = pick(this.#given.values.rpc, kept?.rpcs, this.#trust?.rpcs, published.rpcs)
    const isOwn = this.#trust !== null || (this.#config?.logKey !== undefined && (kept?.logs.length ?? 0) > 0)
    if (!isOwn) await this.#agree(url, vkey, logs, rpcs)
    const asked = rpcs.length === 0 && this.#asks ? await ask('A node of the chain to ask (none: leave it empty)') : ''
    const nodes = asked === '' ? rpcs : [asked]
    const firstUse: FirstUse | null = this.#trust ? null : { at: new Date().toISOString(), from: url }
    if (writeConfig(this.#folder, { ...settings, logs, rpcs: nodes, firstUse })) done(`${CONFIG_FILE} written`)
    return { logKey: vkey, logs, rpcs: nodes }
  }

  async #agree(url: string, vkey: string, logs: readonly PinnedLog[], rpcs: readonly string[]): Promise<void> {
    say(
      lines([
        text`Taken on the word of ${url}; compare it with what the operator publishes elsewhere:`,
        text`  the log’s key  ${vkey}`,
        ...logs.map(
          ({ chainId, contract, logId }) => text`  the contract   ${contract} on chain ${chainId}, log ${logId}`,
        ),
        ...rpcs.map((rpc) => text`  node to ask    ${rpc}`),
      ]),
    )
    if (this.#asks && !(await confirm('Pin this')))
      throw new UsageError('Nothing was pinned. Give the operator’s own pins with --trust or --log-key')
  }

  /** The operator's public trust.json, and the contracts that the log names. */
  async #published(url: string): Promise<{ logs: readonly PinnedLog[]; rpcs: readonly string[] }> {
    const { logs } = await readLog(url, null)
    const fail = (why: string) => new KillickError('answer_malformed', `${url}/verify/trust.json: ${why}`)
    try {
      const { rpcs } = parseTrust(await openApi(url, undefined).json('/verify/trust.json', 1 << 20), '', fail)
      return { logs, rpcs }
    } catch (error) {
      // A service need not serve the page.
      if (error instanceof KillickError && error.code !== 'unreachable') return { logs, rpcs: [] }
      throw error
    }
  }

  /** Records the first event, once. @returns its id. @throws KillickError as `openAuditLog` and `flush` */
  async #record({ url, source, logKey }: Settings, key: string): Promise<string> {
    const failures: string[] = []
    const audit = await openAuditLog({
      ...{ url, source, key, spool: this.#spool(), logKey },
      onError: ({ message }) => failures.push(message),
    })
    try {
      if (this.#state.event === undefined) {
        const { id } = await audit.record({
          action: 'killick.init',
          actor: { type: 'source', id: source },
          targets: [{ type: 'source', id: source }],
          outcome: 'success',
        })
        this.#keep({ event: id })
      }
      let timer: NodeJS.Timeout | undefined
      const late = new Promise<never>((_, reject) => {
        timer = setTimeout(() => {
          const why = failures.at(-1) ?? 'it did not answer in time'
          reject(
            new KillickError('unreachable', `${url} did not accept the event: ${why}. It waits in the spool`, { url }),
          )
        }, ACCEPT_MS)
      })
      await Promise.race([audit.flush(), late]).finally(() => clearTimeout(timer))
      done(`An event is recorded and accepted: ${this.#state.event}`)
      return this.#state.event!
    } finally {
      await audit.close({ timeoutMs: 0 })
    }
  }

  /** Waits for the anchor, checks the proof, and makes a link. @returns the exit code */
  async #prove(
    event: string,
    access: Access & { token: string },
    settings: Settings,
    pinned: Pinned,
    wait: number,
  ): Promise<number> {
    const { url } = settings
    const api = openAccess(access)
    const hasChain = await anchors(api)
    if (hasChain) say('Waiting for the anchor …')
    const proof = await fetchProof(api, event, hasChain ? 1000 * wait : 0)
    const isAnchored = proof.anchors.length > 0
    // A log that was never anchored names its contract with the first anchor.
    if (isAnchored && pinned.logs.length === 0) await this.#pin(url, settings.logKey, settings)
    const proofFile = join(this.#folder, PROOF_FILE)
    writeFileSync(proofFile, `${printProof(proof)}\n`)
    const pins = readPins({ ...readArgs(VERIFY, [proofFile, '--config', join(this.#folder, CONFIG_FILE)]) })
    const { verdict, backing } = await judgeBy(pins, pins.confirmations)(proof, await openNodes(pins.rpcs))
    const told = inWords(verdict)
    const link = this.#state.link ?? (await this.#share(access, event))
    if (this.#given.values.json)
      out(json({ outcome: told.outcome, level: told.level, missing: told.missing, event, proof: PROOF_FILE, link }))
    else
      out(
        lines([
          ...[outcomeLines(told, backing), ...missingLines(told)],
          ...[text`The proof   ${PROOF_FILE}`, text`The link    ${link}`],
        ]),
      )
    if (!isAnchored) {
      say(
        hasChain
          ? `Not anchored within ${wait} s: the service is slow to anchor, or has no chain. Everything else is set up; killick init, called`
          : 'Not anchored: the service has no chain. Everything else is set up; once it has one, killick init, called',
      )
      say('again, waits again.')
      return EXIT.undecided
    }
    dropState(this.#folder)
    // Under Yarn's Plug'n'Play nothing is where Node and npx look for it: npx would fetch whatever is called killick.
    const [node, npx] = process.versions.pnp === undefined ? ['node', 'npx'] : ['yarn node', 'yarn']
    say(
      lines([
        ...(isInstalled(this.#folder) ? [] : ['First       npm install @killick/sdk']),
        text`Next        ${node} ${EXAMPLE_FILE}, which records another`,
        text`Check it    ${npx} killick verify ${PROOF_FILE}`,
        text`Search      ${npx} killick search --token-file <file>`,
      ]),
    )
    return { verified: EXIT.ok, failed: EXIT.failed, undecided: EXIT.undecided }[verdict.outcome]
  }

  async #share(access: Access & { token: string }, event: string): Promise<string> {
    const { url } = await shareEvent(access, event, { fields: ['action', 'actor', 'targets', 'outcome'] })
    this.#keep({ link: url })
    return url
  }
}

type Settings = Pick<Parameters<typeof writeConfig>[1], 'url' | 'source' | 'key' | 'spool' | 'logKey' | 'jwk'>

/** Whether a service may anchor. One that does not say so may. */
async function anchors(api: Api): Promise<boolean> {
  const front = await api.json('/', 1 << 20).catch(() => null)
  return !(isObject(front) && front.hasChain === false)
}

/** Whether the example will find the package. */
function isInstalled(folder: string): boolean {
  try {
    createRequire(join(folder, EXAMPLE_FILE)).resolve('@killick/sdk/package.json')
    return true
  } catch {
    return false
  }
}
