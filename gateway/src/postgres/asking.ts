// What a client asks: each statement is recorded before the server sees it, or is refused.
import type { JsonObject } from '@killick/sdk/core'
import { codeOf, type SessionRecording } from '../sessions/recording.ts'
import type { Answering } from './answering.ts'
import { type AskedStep, AskedSteps } from './asked-steps.ts'
import type { PostgresConfig } from './config.ts'
import { decide, mayDeny, reasonIn, type StatementEffect } from './effects/index.ts'
import type { PostgresEvents, PostgresFacts } from './events.ts'
import type { Lane } from './lane.ts'
import {
  BodyReader,
  letter,
  MessageFault,
  type OwnError,
  POISON_EXECUTE,
  POISON_QUERY,
  printError,
} from './messages.ts'
import { type Naming, UNCERTAIN } from './names.ts'
import { parameterShown } from './parameters.ts'
import type { Portal, Prepared, PreparedNames } from './prepared.ts'
import { type Reading, readStatement, type SqlText, shownEffects, textShown, whyReadAgain } from './sql-text.ts'
import { newWork, type ObservedRead, type Op, pending, type Work } from './work.ts'

/** What one session counts. `statements`: those that were passed on, also to be prepared only; `failed`: those of them that have failed. */
export type Counts = { statements: number; denied: number; refused: number; failed: number }

/** A statement as it is asked for. */
type Asked = {
  readonly action: Work['action']
  readonly protocol: 'simple' | 'extended'
  readonly statement: SqlText | null
  /** What runs, where the statement only names it: EXECUTE of a prepared one. */
  readonly effects: readonly StatementEffect[]
  readonly isFullyKnown: boolean
  readonly unknownWhy: readonly string[]
  readonly parameters?: PostgresFacts['parameters'] | undefined
  readonly known?: JsonObject | undefined
  readonly frame: Buffer
}

const [QUERY, PARSE, BIND, DESCRIBE, CLOSE, EXECUTE, SYNC, FLUSH, FUNCTION, COPY_DONE, COPY_FAIL, TERMINATE] = [
  ...'QPBDCESHFcfX',
].map(letter) as [number, number, number, number, number, number, number, number, number, number, number, number]
const STATEMENT = letter('S')

/** What is recorded with who asks for it. */
const ASKS: ReadonlySet<number> = new Set([QUERY, PARSE, BIND, DESCRIBE, EXECUTE, FUNCTION])

export class Asking {
  /** Set by TERMINATE: the client says that it ends. */
  isTerminated = false
  readonly #config: PostgresConfig
  readonly #events: PostgresEvents
  readonly #recording: SessionRecording<PostgresFacts>
  readonly #names: PreparedNames
  readonly #lane: Lane
  readonly #answering: Answering
  readonly #reading: Reading
  readonly #counts: Counts
  readonly #identity: { user: string; database: string }
  /** After a refusal the server skips everything up to the next sync, and so does this. */
  #isSkipping = false
  /** Whether something was asked for that may have changed how the server reads a text. */
  #hasSet = false
  /** Whether there may be a cursor that does something of that kind, or runs what nobody here has seen, once it is read. */
  #cursorsRun = false
  /** Whether one of them may be of this segment: then it may also be read where the segment ends, to be held beyond its transaction. */
  #endRuns = false
  readonly #steps: AskedSteps
  readonly #hasPolicy: boolean

  constructor(parts: {
    config: PostgresConfig
    events: PostgresEvents
    recording: SessionRecording<PostgresFacts>
    names: PreparedNames
    lane: Lane
    answering: Answering
    reading: Reading
    counts: Counts
    identity: { user: string; database: string }
  }) {
    this.#config = parts.config
    this.#hasPolicy = mayDeny(parts.config.policy)
    this.#events = parts.events
    this.#recording = parts.recording
    this.#names = parts.names
    this.#lane = parts.lane
    this.#answering = parts.answering
    this.#reading = parts.reading
    this.#counts = parts.counts
    this.#identity = parts.identity
    this.#steps = new AskedSteps(this.#lane, {
      begin: (step) => this.#beginStep(step),
      refused: (error) => inPlaceOf('extended', notRecorded(error)),
    })
  }

  /** What waits for more of the client goes on without. */
  release(): void {
    this.#steps.release()
  }

  /** Everything that was asked for has its answer, and no transaction is open: what cursors there are have been read to their end. */
  settled(): void {
    this.#cursorsRun = false
  }

  /** Takes a message. @returns false if what it names depends on answers that have not come yet: then it was not taken */
  take(type: number, frame: Buffer): boolean {
    if (this.#isSkipping && type !== SYNC && type !== TERMINATE) return true
    if (ASKS.has(type) && this.#events.isUncertain) return false
    try {
      return this.#take(type, frame)
    } catch (error) {
      if (!(error instanceof MessageFault)) throw error
      this.#refuse(type, { code: 'postgres_message_invalid', why: error.message })
      return true
    }
  }

  /** A message that was too long to be held. */
  skipped(type: number, bytes: number, why: 'size' | 'memory'): void {
    if (this.#isSkipping) return
    const { statementBytes, heldBytes } = this.#config.limits
    const error: OwnError =
      why === 'size'
        ? {
            code: 'postgres_statement_too_large',
            why: `It has ${bytes} bytes, and limits.statementBytes is ${statementBytes}.`,
          }
        : { code: 'postgres_memory', why: `limits.heldBytes is ${heldBytes}.`, hint: 'Try again later.' }
    this.#recording
      .record({
        action: type === FUNCTION ? 'function' : 'statement',
        outcome: 'denied',
        known: { kind: 'denial', state: 'refused', code: error.code, bytes },
      })
      .catch(() => {})
    this.#refuse(type, error)
  }

  #take(type: number, frame: Buffer): boolean {
    switch (type) {
      case QUERY:
        return this.#query(frame)
      case PARSE:
        return this.#parse(frame)
      case BIND:
        return this.#bind(frame)
      case EXECUTE:
        return this.#execute(frame)
      case DESCRIBE:
        return this.#describe(frame)
      case CLOSE:
        this.#close(frame)
        return true
      case SYNC:
        this.#steps.release()
        this.#isSkipping = false
        this.#segmentEnds()
        // While the server takes data of COPY it ignores it.
        if (!this.#answering.isCopyingIn) this.#events.segmentEnds()
        this.#answering.syncAsked()
        this.#lane.send(frame, this.#answering.isCopyingIn ? null : op('sync'))
        return true
      case FUNCTION:
        this.#function(frame)
        return true
      case COPY_DONE:
      case COPY_FAIL:
        if (this.#answering.isCopyingIn && this.#steps.isWaiting)
          throw new MessageFault('Something stands between the data of COPY and their end.')
        this.#steps.release()
        this.#answering.copyInEnds()
        this.#lane.send(frame, null)
        return true
      case FLUSH:
        this.#steps.release()
        this.#lane.send(frame, null)
        return true
      case TERMINATE:
        this.#steps.release()
        this.isTerminated = true
        this.#lane.send(frame, null)
        return true
      default:
        throw new MessageFault(`A message of the type ${String.fromCharCode(type)} has no place here.`)
    }
  }

  #query(frame: Buffer): boolean {
    const body = new BodyReader(frame)
    const text = body.text()
    body.done()
    const asked = this.#asked(readStatement(text, this.#reading), 'simple', frame)
    if (asked === UNCERTAIN || this.#events.isUncertainOf(asked.effects)) return false
    this.#names.segment += 1
    this.#ask(asked)
    this.#segmentEnds()
    return true
  }

  #parse(frame: Buffer): boolean {
    const body = new BodyReader(frame)
    const name = nameOf(body.text())
    const text = body.text()
    const types = Array.from({ length: body.count() }, () => body.int32())
    body.done()
    const statement = readStatement(text, this.#reading, types)
    const asked = { ...askedOf(statement, 'extended', frame), known: { step: 'parse' } }
    if (this.#isDenied(asked, PARSE)) return true
    const prepared: Prepared = { statement, name }
    const naming = this.#names.statements.ask(name, prepared, this.#names.segment)
    if (!this.#knowsName(name)) this.#reading.doubts += 1
    const step: AskedStep = { step: 'parse', frame, name, prepared, portal: null }
    this.#steps.add(frame, op('parse', null, pending(this.#names.statements, naming)), step)
    return true
  }

  #bind(frame: Buffer): boolean {
    const body = new BodyReader(frame)
    const name = nameOf(body.text())
    const preparedName = nameOf(body.text())
    const formats = Array.from({ length: body.count() }, () => body.int16())
    const parameters = Array.from({ length: body.count() }, () => {
      const length = body.int32()
      return length === -1 ? null : body.bytes(length)
    })
    for (let left = body.count(); left > 0; left--) body.int16()
    body.done()
    const prepared = this.#knowsName(preparedName) ? this.#prepared(preparedName) : undefined
    if (prepared === UNCERTAIN) return false
    const { cursors } = this.#names
    const why = prepared === undefined ? [] : whyReadAgain(prepared.statement, this.#reading)
    const portal: Portal = {
      ...{ name, prepared: prepared ?? null, preparedName, parameters, formats, why, cursors, isBegun: false },
    }
    const naming = this.#names.portals.ask(name, portal, this.#names.segment)
    if (!this.#knowsName(name)) this.#names.cursors += 1
    // To FETCH and MOVE it is a cursor.
    if (name !== '' && (prepared === undefined || this.#mayRun(prepared))) this.#cursorsRun = true
    const step: AskedStep = { step: 'bind', frame, name: preparedName, prepared: prepared ?? null, portal }
    this.#steps.add(frame, op('bind', null, pending(this.#names.portals, naming)), step)
    return true
  }

  /** The server reads a prepared text again if what it names has changed. */
  #describe(frame: Buffer): boolean {
    const body = new BodyReader(frame)
    const kind = body.bytes(1)[0]
    const name = nameOf(body.text())
    const prepared = kind === STATEMENT && this.#knowsName(name) ? this.#prepared(name) : null
    if (prepared === UNCERTAIN) return false
    const step: AskedStep | null =
      kind === STATEMENT ? { step: 'describe', frame, name, prepared: prepared ?? null, portal: null } : null
    this.#steps.add(frame, op('describe'), step)
    return true
  }

  /** The intent of what is prepared, bound or described, and not executed. */
  #beginStep({ step, frame, name, prepared, portal }: AskedStep): { work: Work; begun: Promise<unknown> } {
    const statement = prepared?.statement ?? null
    const why = portal?.why ?? (statement === null ? [] : whyReadAgain(statement, this.#reading))
    const asked = withWhy(askedOf(statement, 'extended', frame), why)
    const known: JsonObject = {
      step,
      ...(portal !== null && portal.name !== '' && { portal: portal.name.slice(0, 200) }),
      ...(name !== '' && { prepared: name.slice(0, 200) }),
    }
    const parameters = portal !== null && portal.parameters.length > 0 ? parametersOf(portal) : undefined
    const begun = this.#recording.begin(this.#intentOf({ ...asked, known, parameters }))
    this.#counts.statements += 1
    if (this.#config.mode === 'strict') begun.catch(() => this.#notPassed())
    const work = newWork(
      { ...asked, effects: NO_EFFECTS },
      this.#events.who,
      NO_NAMES,
      null,
      begun.catch(() => null),
    )
    return { work, begun: this.#config.mode === 'observe' ? NOT_BEGUN : begun }
  }

  #close(frame: Buffer): void {
    const body = new BodyReader(frame)
    const kind = body.bytes(1)[0]
    const name = nameOf(body.text())
    const { statements, portals, segment } = this.#names
    const naming =
      kind === STATEMENT
        ? pending(statements, statements.ask(name, null, segment))
        : pending(portals, portals.ask(name, null, segment))
    if (!this.#knowsName(name)) {
      if (kind === STATEMENT) this.#reading.doubts += 1
      else this.#names.cursors += 1
    }
    this.#steps.add(frame, op('close', null, naming), null)
  }

  #execute(frame: Buffer): boolean {
    const body = new BodyReader(frame)
    const name = nameOf(body.text())
    const limit = body.int32()
    body.done()
    const portal = this.#knowsName(name) ? this.#names.portal(name) : undefined
    if (portal === UNCERTAIN) return false
    const prepared = portal?.prepared ?? null
    const known: JsonObject = {
      ...(name !== '' && { portal: name.slice(0, 200) }),
      ...(portal && portal.preparedName !== '' && { prepared: portal.preparedName.slice(0, 200) }),
      ...(portal?.isBegun && { continues: true }),
      ...(limit > 0 && { limit }),
    }
    const parameters = portal && portal.parameters.length > 0 ? parametersOf(portal) : undefined
    // The portal without a name is none that a cursor can have.
    const isOther = portal !== undefined && name !== '' && portal.cursors < this.#names.cursors
    const asked = this.#asked(prepared?.statement ?? null, 'extended', frame, prepared?.name ?? '', isOther)
    if (asked === UNCERTAIN || this.#events.isUncertainOf(asked.effects)) return false
    if (portal) portal.isBegun = true
    this.#ask({ ...withWhy(asked, portal?.why ?? []), known, parameters }, portal)
    return true
  }

  #function(frame: Buffer): void {
    const body = new BodyReader(frame)
    const oid = body.int32() >>> 0
    const formats = Array.from({ length: body.count() }, () => body.int16())
    const values = Array.from({ length: body.count() }, () => {
      const length = body.int32()
      return length === -1 ? null : body.bytes(length)
    })
    body.int16()
    body.done()
    this.#names.segment += 1
    const parameters = values.map((each, i) => parameterShown(each, isBinary(formats, i), 0))
    this.#ask({
      ...{ action: 'function', protocol: 'simple', statement: null, effects: CALL, isFullyKnown: false },
      ...{ unknownWhy: ['function'], parameters, known: { function: oid }, frame },
    })
  }

  /** Whether these bytes are the name that the server has: it converts them, and two encodings have other bytes for one name. */
  #knowsName(name: string): boolean {
    const { encoding, serverEncoding, isUnsettled } = this.#reading
    return !BEYOND_ASCII.test(name) || (encoding === 'UTF8' && serverEncoding === 'UTF8' && !isUnsettled)
  }

  #prepared(name: string): Prepared | undefined | typeof UNCERTAIN {
    return this.#names.statement(name, this.#reading.doubts > 0)
  }

  /** Whether what was prepared may change how the server reads a text, or run what nobody here has seen. */
  #mayRun({ name, statement: { doubts, effects, unknownWhy } }: Prepared): boolean {
    const isDoubted = name !== '' && doubts < this.#reading.doubts
    return isDoubted || unknownWhy.some((why) => RUNS.has(why)) || effects.some(setsReading)
  }

  /** With what prepared statements do that it names. @param isOther whether its portal may be a cursor by now */
  #asked(
    statement: SqlText | null,
    protocol: Asked['protocol'],
    frame: Buffer,
    name: string | null = null,
    isOther = false,
  ): Asked | typeof UNCERTAIN {
    const asked = askedOf(statement, protocol, frame)
    if (statement === null) return asked
    const isDoubted = isOther || (name !== null && name !== '' && statement.doubts < this.#reading.doubts)
    if (!isDoubted && statement.effects.every(({ executes }) => executes === undefined)) return asked
    const why = new Set(asked.unknownWhy)
    const effects: StatementEffect[] = []
    // What nobody could look into may have given the name to something else since.
    if (isDoubted) why.add('prepared_name')
    for (const effect of statement.effects) {
      const { executes } = effect
      effects.push(effect)
      if (executes === undefined) continue
      const given = nameOf(Buffer.from(executes))
      // Beyond ASCII the server may make small letters of it.
      const prepared = this.#knowsName(given) ? this.#prepared(given) : undefined
      if (prepared === UNCERTAIN) return UNCERTAIN
      if (prepared === undefined || prepared.statement.doubts < this.#reading.doubts) why.add('prepared_name')
      else why.delete('execute')
      for (const each of prepared?.statement.unknownWhy ?? []) why.add(each)
      if (prepared !== undefined) for (const each of whyReadAgain(prepared.statement, this.#reading)) why.add(each)
      effects.push(...(prepared?.statement.effects ?? []))
    }
    if (effects.length === statement.effects.length && why.size === asked.unknownWhy.length) return asked
    return { ...asked, effects, unknownWhy: [...why], isFullyKnown: why.size === 0 }
  }

  /** Records what is asked for, and sends it to the server: in strict mode once that is durable. */
  #ask(asked: Asked, portal: Portal | null = null): void {
    // What a portal is read on for has been done.
    const does = asked.known?.continues === true ? NO_EFFECTS : asked.effects
    const beginning = beginningOf(does)
    const before = this.#events.asked(does.slice(0, beginning))
    if (this.#isDenied(asked, asked.protocol === 'simple' ? QUERY : EXECUTE)) {
      before()
      return
    }
    const { action, protocol, frame } = asked
    const { who } = this.#events
    const isObserved = this.#config.mode === 'observe'
    const observed = isObserved ? this.#observedRead(asked) : null
    const pass = this.#steps.begin(portal)
    const begun = observed === null ? this.#recording.begin(this.#intentOf(asked)) : NOT_BEGUN
    this.#counts.statements += 1
    const prepares = this.#prepares(asked)
    const intent = observed === null ? begun.catch(() => null) : NOT_BEGUN
    const work = newWork({ ...asked, effects: does }, who, prepares, observed, intent)
    this.#answering.asked(work)
    this.#noted(asked)
    this.#events.asked(does.slice(beginning))
    if (protocol === 'simple') this.#events.segmentEnds()
    const kind = action === 'function' ? 'function' : protocol === 'simple' ? 'query' : 'execute'
    pass?.(isObserved ? NOT_BEGUN : begun, work)
    if (isObserved) {
      this.#lane.send(frame, op(kind, work))
      return
    }
    this.#lane.sendAfter(begun, frame, op(kind, work), (error) => {
      for (const naming of prepares.values()) this.#names.statements.drop(naming)
      this.#notPassed()
      return inPlaceOf(protocol, notRecorded(error))
    })
  }

  /** What was to be passed on is refused, because its intent could not be recorded. */
  #notPassed(): void {
    this.#counts.statements -= 1
    this.#counts.refused += 1
  }

  #intentOf(asked: Asked): PostgresFacts {
    const transaction = this.#config.mode === 'observe' ? {} : this.#answering.upcoming()
    return this.#factsOf(asked, { kind: 'intent', ...transaction })
  }

  /** In observe mode, what may share an event with others of its session; null for what may not. */
  #observedRead(asked: Asked): ObservedRead | null {
    const { isFullyKnown, effects, known, statement, parameters } = asked
    const { who } = this.#events
    const isPlain =
      isFullyKnown &&
      known?.portal === undefined &&
      statement !== null &&
      statement.bytes <= Math.min(MAX_PLAIN, this.#config.limits.discloseBytes / 6) &&
      (parameters === undefined || JSON.stringify(parameters).length <= MAX_PLAIN) &&
      shownEffects(effects).onlyReads &&
      reasonIn(statement.text) === null
    return isPlain
      ? { text: statement.text, parameters, effects, intent: () => ({ ...this.#intentOf(asked), who }) }
      : null
  }

  #factsOf(asked: Asked, known: JsonObject): PostgresFacts {
    const { action, protocol, statement, effects, isFullyKnown, unknownWhy, parameters, frame } = asked
    const { limits, redaction } = this.#config
    const reason = statement && reasonIn(statement.text)
    const shown = shownEffects(effects)
    return {
      action,
      targets: shown.tables,
      statement: statement === null ? undefined : textShown(statement, limits.discloseBytes, redaction),
      parameters,
      ...(reason !== null && { told: { reason } }),
      known: {
        ...known,
        protocol,
        ...shown.effects,
        isFullyKnown,
        ...(!isFullyKnown && { unknownWhy: [...unknownWhy] }),
        ...(statement === null && { bytes: frame.length }),
        ...asked.known,
      },
    }
  }

  /** Names that its statements will have given, or given up, when they are complete. */
  #prepares({ effects, statement }: Asked): ReadonlyMap<number, Naming<Prepared>> {
    if (statement === null || !effects.some((each) => each.prepares !== undefined || each.deallocates)) return NO_NAMES
    const { statements, segment } = this.#names
    const found = new Map<number, Naming<Prepared>>()
    for (const [i, effect] of statement.effects.entries()) {
      const given = effect.prepares ?? effect.deallocates
      if (given === undefined || given === null) continue
      const name = nameOf(Buffer.from(given))
      const { prepared = effect } = effect
      const meant = {
        ...statement,
        effects: [prepared],
        unknownWhy: prepared.unknownWhy,
        isFullyKnown: prepared.isFullyKnown,
      }
      found.set(i, statements.ask(name, effect.prepares === undefined ? null : { name, statement: meant }, segment))
    }
    return found
  }

  /** Something may have run that nobody here has seen. */
  #ran(): void {
    this.#reading.doubts += 1
    this.#unsettle()
  }

  /** What was asked for since the last end may be committed by this one. */
  #segmentEnds(): void {
    this.#names.segment += 1
    if (this.#endRuns) this.#ran()
    this.#endRuns = false
  }

  /** The server may read the next text otherwise. */
  #unsettle(): void {
    this.#hasSet = true
    this.#reading.isUnsettled = true
  }

  /** What a statement changes in what is known of the session. */
  #noted({ effects, unknownWhy }: Asked): void {
    const runs = unknownWhy.some((why) => RUNS.has(why))
    if (runs || (this.#cursorsRun && effects.some(readsCursors))) this.#ran()
    if (runs || effects.some(givesCursor)) this.#names.cursors += 1
    // A function may have opened one.
    if (runs || effects.some((effect) => givesCursor(effect) && setsReading(effect))) {
      this.#cursorsRun = true
      this.#endRuns = true
    }
    for (const effect of effects) {
      if (effect.set?.name === 'search_path') this.#reading.hasSearchPath = true
      if (setsReading(effect)) this.#unsettle()
      else if (this.#hasSet && ENDS.has(effect.transaction ?? '')) this.#reading.isUnsettled = true
    }
  }

  /** Refuses what the policy denies. @param type of the message that the refusal takes the place of */
  #isDenied(asked: Asked, type: number): boolean {
    if (!this.#hasPolicy) return false
    const { statement, effects, unknownWhy } = asked
    const reason = (statement && reasonIn(statement.text)) ?? this.#events.reason
    const actor = this.#events.claimedActor ?? this.#identity.user
    const { user, database } = this.#identity
    const denial = decide(this.#config.policy, effects, {
      ...{ actor, reason, database, user, now: new Date() },
      unknownWhy: unknownWhy.filter((why) => BEYOND_THE_TEXT.has(why)),
    })
    if (denial === null) return false
    this.#counts.denied += 1
    const { rule, why } = denial
    const facts = this.#factsOf(asked, { kind: 'denial', state: 'denied', rule })
    this.#recording.record({ ...facts, outcome: 'denied' }).catch(() => {})
    this.#refuse(type, { code: 'postgres_denied', why: `${rule}: ${why}` })
    return true
  }

  /** The server is sent something that fails in the place of a message, and the client gets our error for it. */
  #refuse(type: number, error: OwnError): void {
    this.#steps.release()
    const isSimple = type === QUERY || type === FUNCTION
    this.#isSkipping = !isSimple
    if (isSimple) {
      this.#names.segment += 1
      this.#events.segmentEnds()
    }
    this.#counts.refused += error.code === 'postgres_denied' ? 0 : 1
    const { bytes, op } = inPlaceOf(isSimple ? 'simple' : 'extended', error)
    this.#lane.send(bytes, op)
  }
}

const NOT_BEGUN = Promise.resolve(null)
/** Longer ones have events of their own. */
const MAX_PLAIN = 4_096

/** Why something may have run that nobody here has seen, such as a PREPARE. */
const RUNS: ReadonlySet<string> = new Set([
  ...['unparsed', 'do_block', 'call', 'function', 'operator', 'type', 'execute', 'extension', 'program', 'other'],
  ...['encoding', 'standard_conforming_strings', 'prepared_name', 'server_version'],
])
/** Settings by which the server reads a text, and RESET ALL. */
const READS_BY: ReadonlySet<string> = new Set([
  ...['client_encoding', 'standard_conforming_strings', 'search_path', 'all'],
])
/** What takes back what was set in a transaction, or only for it. */
const ENDS: ReadonlySet<string> = new Set(['commit', 'rollback', 'rollback_to', 'prepare'])
/** Why more is unknown than the effects of a text say. */
const BEYOND_THE_TEXT: ReadonlySet<string> = new Set([
  ...['encoding', 'standard_conforming_strings', 'prepared_name', 'server_version'],
])

/** How many statements at the beginning of a text only say who asks for the others, and why; none if there are no others. */
function beginningOf(effects: readonly StatementEffect[]): number {
  if (effects.length < 2) return 0
  const at = effects.findIndex(({ kind, set, transaction }) => transaction !== 'begin' && (!set || kind === 'system'))
  return Math.max(at, 0)
}

/** DECLARE and CLOSE, but not FETCH and MOVE. */
const givesCursor = ({ kind, unknownWhy }: StatementEffect): boolean =>
  kind === 'cursor' && !unknownWhy.includes('cursor')

/** Whether it may change how the server reads a text. */
const setsReading = ({ kind, set }: StatementEffect): boolean => kind === 'discard' || READS_BY.has(set?.name ?? '')

/** FETCH and MOVE; and COMMIT, for what is held beyond it. */
const readsCursors = ({ transaction, unknownWhy }: StatementEffect): boolean =>
  transaction === 'commit' || unknownWhy.includes('cursor')

const NO_EFFECTS: readonly StatementEffect[] = []
const NO_NAMES: ReadonlyMap<number, Naming<Prepared>> = new Map()
const CALL: readonly StatementEffect[] = [
  { kind: 'call', reads: [], writes: [], isFullyKnown: false, unknownWhy: ['function'] },
]

const op = (kind: Op['kind'], work: Work | null = null, naming: Op['naming'] = null): Op => {
  return { kind, work, naming, refusal: null }
}

const inPlaceOf = (protocol: Asked['protocol'], error: OwnError): { bytes: Buffer; op: Op } =>
  protocol === 'simple'
    ? { bytes: POISON_QUERY, op: { ...op('query'), refusal: printError(error) } }
    : { bytes: POISON_EXECUTE, op: { ...op('execute'), refusal: printError(error) } }

function askedOf(statement: SqlText | null, protocol: Asked['protocol'], frame: Buffer): Asked {
  if (statement === null) return { ...{ action: 'statement', protocol, statement, frame }, ...OF_A_NAME }
  const { effects, isFullyKnown, unknownWhy } = statement
  return { action: 'statement', protocol, statement, frame, effects, isFullyKnown, unknownWhy }
}

/** With more reasons why it is not fully known. */
function withWhy(asked: Asked, more: readonly string[]): Asked {
  if (more.length === 0) return asked
  return { ...asked, unknownWhy: [...new Set([...asked.unknownWhy, ...more])], isFullyKnown: false }
}

/** What is known of a statement that was prepared where this session did not see it. */
const OF_A_NAME = { effects: [], isFullyKnown: false, unknownWhy: ['prepared_name'] }

const BEYOND_ASCII = /[\x80-\xff]/

/** Bytes that the server compares: names that begin with the same 63 bytes are one name to it. */
const nameOf = (bytes: Buffer): string => bytes.toString('latin1', 0, 63)

const isBinary = (formats: readonly number[], i: number): boolean =>
  (formats.length === 1 ? formats[0] : formats[i]) === 1

function parametersOf({ parameters, formats, prepared }: Portal) {
  return parameters.map((each, i) => parameterShown(each, isBinary(formats, i), prepared?.statement.types[i] ?? 0))
}

/** SQLSTATEs of what keeps an event from being recorded: disk_full where there is no room, else io_error. */
const NO_ROOM = new Set(['spool_full', 'spool_disk_full'])

/** When statements pass again, where that is not by itself. */
const PASSES: Readonly<Record<string, string>> = {
  log_closed: 'No statement passes before the relay is started again.',
  subject_erased: 'No statement passes whose event would hold the data of this subject.',
  subject_missing: 'A statement passes once its event can say whose data it holds.',
}

/** What the client is told of a statement that could not be recorded. */
export function notRecorded(error: unknown): OwnError {
  const reason = codeOf(error)
  return {
    code: 'postgres_not_recorded',
    why: `${reason}: ${(error as Error).message}`,
    ...(NO_ROOM.has(reason) && { sqlstate: '53100' }),
    hint: `Nothing was executed. ${PASSES[reason] ?? 'Statements pass again once the relay can record them.'}`,
  }
}
