/**
 * Anchors and their states. Every audit compares what proofs use of them with the chain, and what an event records with that
 * event. This file checks what nobody signs: how states follow each other, what raw transactions say, and how
 * times lie around the block's.
 */

import type { AuditReason, Fault, OwnCheck } from '@killick/sdk/audit'
import { EMPTY_ROOT, type Hash } from '@killick/sdk/core'
import type { Db } from '../database/pool.ts'
import { type Columns, cursor, differing, fault, micros, TOLERANCE, type Walk } from './walk.ts'

type State = Columns & { seq: number; state: string; at: number; transaction: string | null }
type AnchorColumns = Columns & { id: number; contract: string; logId: string; states: State[] }

const STATE = `'seq', s.seq, 'state', s.state, 'at', ${micros('s.recorded_at')}, 'log_index', s.log_index, 'transaction', s.transaction,
  'raw', s.raw, 'sender', s.sender, 'nonce', s.nonce, 'max_fee', s.max_fee::text, 'max_priority_fee', s.max_priority_fee::text,
  'block', s.block, 'block_hash', s.block_hash, 'time', s.time, 'confirmations', s.confirmations, 'gas_used', s.gas_used,
  'gas_price', s.gas_price::text, 'detail', s.detail`

/** Of one size there are as many as there are targets; all of them are on one page. */
const ANCHORS = `
  select size::float8 as key, json_build_object('id', id, 'chain_id', chain_id, 'contract', contract, 'logId', log_id,
      'root', encode(root, 'hex'), 'events', events, 'checkpoint', checkpoint, 'planned_at', ${micros('planned_at')},
      'states', (select coalesce(json_agg(json_build_object(${STATE}) order by s.seq), '[]') from anchor_states s where s.anchor = a.id)) as columns
  from anchors a where size in (select distinct size from (select size from anchors where size > $1 order by size limit $2) sizes)
  order by size, id`

/** States of no anchor, and anchors of more than the log has. */
const STRAYS = `
  select (select anchor::float8 from anchor_states s where not exists (select from anchors where id = s.anchor) limit 1) as orphan,
    (select size::float8 from anchors where size < 0 or size > (select log_index + 1 from batches order by log_index desc limit 1) limit 1) as beyond,
    coalesce((select last_value from anchors_id_seq) >= (select id from anchors order by id desc limit 1), true) as counts`

const OPEN = ['signed', 'broadcast', 'replaced', 'mined', 'dropped', 'reverted', 'abandoned']
/** Which states may follow one. */
const NEXT: { readonly [state: string]: readonly string[] } = {
  planned: ['signed', 'mined', 'abandoned'],
  ...Object.fromEntries(
    ['signed', 'broadcast', 'replaced', 'dropped', 'reverted', 'reorganised'].map((state) => [state, OPEN]),
  ),
  mined: ['confirmed', 'reorganised', 'abandoned'],
  confirmed: ['final', 'reorganised', 'abandoned'],
  final: ['reorganised', 'abandoned'],
  abandoned: ['planned'],
}
const IN_BLOCK = ['mined', 'confirmed', 'final', 'reverted']
const FACTS = ['transaction', 'raw', 'sender', 'nonce', 'max_fee', 'max_priority_fee', 'block', 'block_hash', 'time']
const MORE_FACTS = ['confirmations', 'gas_used', 'gas_price', 'detail']

export function checkAnchorRows(db: Db, origin: string, walk: Walk): OwnCheck {
  const anchors = cursor(db, ANCHORS)
  let count = 0
  /** Loaded with the first anchor: it takes a quarter of a second. */
  let chain!: typeof import('../anchor/chain/chain.ts')

  function checkAnchor(anchor: AnchorColumns, size: number, root: Hash, events: number): Fault[] {
    const at = Math.max(0, size - 1)
    count += 1
    const tell = (reason: AuditReason, column: string, why: string) =>
      fault(at, reason, `${column}: of the anchor of ${size} ${why}`)
    const [first] = anchor.states
    const planned = {
      root: Buffer.from(root).toString('hex'),
      events,
      checkpoint: size || null,
      planned_at: first?.at ?? null,
    }
    return [
      ...differing(anchor, planned).map((column) =>
        tell('different', `anchors.${column}`, 'it is not what the log makes it'),
      ),
      ...(anchor.states.length === 0 ? [tell('absent', 'anchor_states', 'there are none')] : []),
      ...anchor.states.flatMap((state, i) =>
        checkState(state, anchor.states.slice(0, i), anchor, size, root).map((column) =>
          tell('misplaced', `anchor_states.${column}`, `at ${i} it does not follow from what is known`),
        ),
      ),
    ]
  }

  /** Names of columns that cannot be so. */
  function checkState(
    state: State,
    before: readonly State[],
    anchor: AnchorColumns,
    size: number,
    root: Hash,
  ): string[] {
    const last = before.at(-1)
    const wrong: string[] = []
    const check = (column: string, isRight: boolean) => isRight || wrong.push(column)
    check('seq', state.seq === before.length)
    check('state', last === undefined ? state.state === 'planned' : (NEXT[last.state] ?? []).includes(state.state))
    check('recorded_at', typeof state.at === 'number' && (!last || state.at >= last.at - TOLERANCE))
    if (state.state === 'planned') for (const column of [...FACTS, ...MORE_FACTS]) check(column, state[column] === null)
    const wasCounted = last?.state === 'confirmed' || last?.state === 'final'
    const isTold = size > 0 && (state.state === 'confirmed' || (state.state === 'reorganised' && wasCounted))
    check('log_index', (state.log_index !== null) === isTold)

    const isSigned = state.state === 'signed' || state.state === 'replaced'
    check('raw', (state.raw !== null) === isSigned)
    if (isSigned) wrong.push(...checkRaw(state, anchor, size, root))
    else if (state.transaction !== null) {
      const attempt = before.find((one) => one.raw !== null && one.transaction === state.transaction)
      check('transaction', attempt !== undefined)
      const names = ['sender', 'nonce', 'max_fee', 'max_priority_fee']
      const isBare = names.every((name) => state[name] === null)
      if (attempt && !isBare) for (const name of names) check(name, state[name] === attempt[name])
      if (isBare) for (const name of names) check(name, !IN_BLOCK.includes(state.state))
    }
    for (const name of ['block', 'block_hash', 'time', 'gas_used', 'gas_price'])
      check(name, (state[name] !== null) === IN_BLOCK.includes(state.state))
    if (state.state === 'final') {
      for (const name of [
        'transaction',
        'sender',
        'nonce',
        'max_fee',
        'block',
        'block_hash',
        'time',
        'gas_used',
        'gas_price',
      ])
        check(name, state[name] === last?.[name])
      for (const name of ['confirmations', 'detail']) check(name, state[name] === null)
    }
    if (IN_BLOCK.includes(state.state) && typeof state.time === 'number') {
      check('recorded_at', state.at >= 1_000_000 * state.time - TOLERANCE)
      // An entry was accepted before the block that anchors it.
      check('time', state.state === 'reverted' || size === 0 || 1_000_000 * state.time >= walk.latest - TOLERANCE)
    }
    return wrong
  }

  function checkRaw(state: State, anchor: AnchorColumns, size: number, root: Hash): string[] {
    const signed = chain.readSigned(String(state.raw))
    if (signed === null) return ['raw']
    const { transaction, sender, nonce, chainId, contract, maxFee, maxPriorityFee, call } = signed
    const said = { transaction, sender, nonce, max_fee: maxFee, max_priority_fee: maxPriorityFee }
    const args =
      size === 0 ? [chain.originHash(origin)] : [anchor.logId, String(size), `0x${Buffer.from(root).toString('hex')}`]
    const isCall =
      call?.name === (size === 0 ? 'open' : 'anchor') &&
      args.every((arg, i) => arg === call.args[i]) &&
      contract === anchor.contract &&
      chainId === anchor.chain_id
    return [...differing(state, said), ...(isCall ? [] : ['raw'])]
  }

  return {
    id: 'anchors.rows',
    title: 'What is kept of anchors is what was signed, sent and mined',
    async entry({ logIndex, firstEvent, header, root }) {
      const size = logIndex + 1
      const found = await anchors.upTo(size)
      if (found.length > 0) chain ??= await import('../anchor/chain/chain.ts')
      return found.flatMap(({ key, columns }) =>
        key === size
          ? checkAnchor(columns as AnchorColumns, size, root(), firstEvent + header.n)
          : checkAnchor(columns as AnchorColumns, key, EMPTY_ROOT, 0),
      )
    },
    async finish() {
      type Strays = { orphan: number | null; beyond: number | null; counts: boolean }
      const { orphan, beyond, counts } = (await db.query<Strays>(STRAYS)).rows[0]!
      const faults: Fault[] = []
      if (orphan !== null) faults.push(fault(null, 'untold', `anchor_states.anchor: there is no anchor ${orphan}`))
      if (beyond !== null) faults.push(fault(null, 'untold', `anchors.size: the log has no ${beyond} entries`))
      if (!counts) faults.push(fault(null, 'different', 'anchors.id: the next number is taken already'))
      return { faults, detail: `${count.toLocaleString('en')} anchors` }
    },
  }
}
