/**
 * Rows that stand for an event of the system stream and have its log index. The database's owner could alter, remove or add such
 * rows, so each row is compared with its event, and each such event with its row.
 */

import { type Fault, type OwnCheck, systemEvent } from '@killick/sdk/audit'
import {
  isObject,
  type JsonObject,
  type JsonValue,
  KillickError,
  leafHash,
  type ParsedEvent,
  parseDecidedBy,
  parseDrop,
  parseErasure,
  parseErasureEnd,
  parseHash,
  parseProposal,
  parsePruning,
  parseRefusal,
  parseRegistration,
  parseRetention,
  parseRetentionEnd,
  parseTime,
  utf8,
} from '@killick/sdk/core'
import type { Db } from '../database/pool.ts'
import { readHistory } from '../ledger/registry/anchors.ts'
import { multirangeOf } from '../ledger/registry/drops.ts'
import { readListRoot } from '../ledger/registry/erasures.ts'
import { printProposed } from '../ledger/registry/proposals.ts'
import { type Columns, cursor, differing, fault, micros, type Walk } from './walk.ts'

type Expected = { readonly [column: string]: unknown }

type Table = {
  name: string
  /** Members of a JSON object with all columns but the log index. */
  columns: string
  /** More to the right of the table's name. */
  from?: string
  /** In what order its rows are expected of one event; absent: there is at most one. */
  order?: string
  /** The rows that an event should have; null: the table is not about this event. */
  expect(
    event: ParsedEvent,
    walk: Walk,
    rows: readonly Columns[],
    db: Db,
  ): Promise<Expected[] | null> | Expected[] | null
}

const TABLES: readonly Table[] = [
  {
    name: 'shares',
    columns: `'id', t.id, 'token_hash', encode(t.token_hash, 'hex'), 'leaf_hash', encode(t.leaf_hash, 'hex'), 'fields', t.fields,
      'expires_at', ${micros('t.expires_at')}, 'created_at', ${micros('t.created_at')}`,
    expect({ fields }, walk) {
      if (fields.action !== 'share.create') return null
      const { fields: shown, expires, leafHash, tokenHash } = metadataOf(fields)
      return [
        {
          ...{ id: targetOf(fields, 'share'), token_hash: hexOf(tokenHash), leaf_hash: hexOf(leafHash), fields: shown },
          ...{ expires_at: microsOf(expires), created_at: walk.acceptedAt },
        },
      ]
    },
  },
  {
    name: 'share_revocations',
    columns: `'share', t.share, 'revoked_at', ${micros('t.revoked_at')}`,
    expect({ fields }, walk) {
      if (fields.action !== 'share.revoke') return null
      return [{ share: targetOf(fields, 'share'), revoked_at: walk.acceptedAt }]
    },
  },
  {
    name: 'erasures',
    columns: `'erasure', t.log_index, 'id', t.id, 'count', t.count, 'root', encode(t.root, 'hex'), 'created_at', ${micros('t.created_at')},
      'policy', case when p.id is not null then p.id || ' ' || p.version else t.policy::text end`,
    from: 'left join retention_policies p on p.log_index = t.policy',
    async expect(event, walk, [row], db) {
      const order = readable(() => parseErasure(event))
      if (order === null) return null
      const root = Buffer.from(order.root).toString('hex')
      const list = row && (await listRoot(db, 'erased', Number(row.erasure)))
      return [
        {
          ...{ id: order.id, count: order.count, root, created_at: walk.acceptedAt },
          policy: order.policy && `${order.policy.id} ${order.policy.version}`,
          ...(list !== root && { 'of what it names, in erased': 'what the order commits to' }),
        },
      ]
    },
  },
  {
    name: 'erasure_ends',
    columns: `'erasure', e.id`,
    from: 'left join erasures e on e.log_index = t.erasure',
    expect(event) {
      const id = readable(() => parseErasureEnd(event))
      return id === null ? null : [{ erasure: id }]
    },
  },
  {
    name: 'proposals',
    columns: `'proposal', t.log_index, 'id', t.id, 'proposed_by', t.proposed_by, 'expires_at', ${micros('t.expires_at')}, 'proposes', t.proposes,
      'created_at', ${micros('t.created_at')}`,
    async expect(event, walk, [row], db) {
      const proposal = readable(() => parseProposal(event))
      if (proposal === null) return null
      const { id, by, expires, proposes } = proposal
      const root = proposes.action === 'erasure.order' ? hexOf(proposes.metadata?.root as JsonValue) : null
      const isOther = root !== null && row && root !== (await listRoot(db, 'proposed', Number(row.proposal)))
      return [
        {
          ...{ id, proposed_by: by, expires_at: 1000 * expires, proposes: printProposed(proposes) },
          created_at: walk.acceptedAt,
          ...(isOther && { 'of what it names, in proposed': 'what the proposal commits to' }),
        },
      ]
    },
  },
  {
    name: 'proposal_ends',
    columns: `'proposal', t.proposal, 'ended_by', t.ended_by, 'is_confirmed', t.is_confirmed`,
    expect(event) {
      const refusal = readable(() => parseRefusal(event))
      if (refusal !== null) return [{ proposal: refusal.id, ended_by: refusal.by, is_confirmed: false }]
      const confirmed = parseDecidedBy(metadataOf(event.fields).confirmed)
      return confirmed && [{ proposal: confirmed.proposal, ended_by: confirmed.confirmedBy, is_confirmed: true }]
    },
  },
  {
    name: 'prunings',
    columns: `'after_days', t.after_days, 'created_at', ${micros('t.created_at')}`,
    expect(event, walk) {
      const pruning = readable(() => parsePruning(event))
      return pruning && [{ after_days: pruning.afterDays, created_at: walk.acceptedAt }]
    },
  },
  {
    name: 'retention_policies',
    columns: `'id', t.id, 'version', t.version, 'covers', t.covers, 'contents_days', t.contents_days, 'events_days', t.events_days,
      'created_at', ${micros('t.created_at')}`,
    expect(event, walk) {
      const policy = readable(() => parseRetention(event))
      if (policy === null) return null
      const { id, version, covers, contentsDays: contents_days, eventsDays: events_days = null } = policy
      return [{ id, version, covers: inColumn({ ...covers }), contents_days, events_days, created_at: walk.acceptedAt }]
    },
  },
  {
    name: 'drops',
    columns: `'policy', case when p.id is not null then p.id || ' ' || p.version else t.policy::text end, 'entries', t.entries::text,
      'events', t.events, 'created_at', ${micros('t.created_at')}`,
    from: 'left join retention_policies p on p.log_index = t.policy',
    expect(event, walk) {
      const drop = readable(() => parseDrop(event))
      if (drop === null) return null
      const { id, version, entries, events } = drop
      return [{ policy: `${id} ${version}`, entries: multirangeOf(entries), events, created_at: walk.acceptedAt }]
    },
  },
  {
    name: 'retention_ends',
    columns: `'policy', p.id || ' ' || p.version, 'ended_at', ${micros('t.ended_at')}`,
    from: 'left join retention_policies p on p.log_index = t.policy',
    expect(event, walk) {
      const end = readable(() => parseRetentionEnd(event))
      return end && [{ policy: `${end.id} ${end.version}`, ended_at: walk.acceptedAt }]
    },
  },
  {
    name: 'holds',
    columns: `'id', t.id, 'covers', t.covers, 'created_at', ${micros('t.created_at')}`,
    expect({ fields }, walk) {
      if (fields.action !== 'hold.place') return null
      const covers = metadataOf(fields).covers
      return [
        {
          ...{ id: targetOf(fields, 'hold'), covers: isObject(covers) ? inColumn(covers) : null },
          created_at: walk.acceptedAt,
        },
      ]
    },
  },
  {
    name: 'hold_ends',
    columns: `'hold', t.hold, 'ended_at', ${micros('t.ended_at')}`,
    expect({ fields }, walk) {
      if (fields.action !== 'hold.lift') return null
      return [{ hold: targetOf(fields, 'hold'), ended_at: walk.acceptedAt }]
    },
  },
  {
    name: 'equivocations',
    columns: `'batch', t.batch, 'accepted', b.header, 'refused', t.refused, 'refused_hash', encode(t.refused_hash, 'hex'),
      'recorded_at', ${micros('t.recorded_at')}`,
    from: 'left join batches b on b.log_index = t.batch',
    expect({ fields }, walk) {
      if (fields.action !== 'source.equivocate') return null
      const { batch, accepted, refused } = metadataOf(fields)
      const hash = typeof refused === 'string' ? Buffer.from(leafHash(utf8(refused))).toString('hex') : null
      return [{ batch, accepted, refused, refused_hash: hash, recorded_at: walk.acceptedAt }]
    },
  },
  {
    name: 'sources',
    columns: `'source', t.source, 'event_signatures', t.event_signatures, 'decoys', t.decoys, 'max_age', t.max_age, 'max_ahead', t.max_ahead, 'heartbeat', t.heartbeat`,
    expect(event) {
      const registration = registrationOf(event)
      if (registration === null) return null
      const { source, eventSignatures: event_signatures, decoys, heartbeat } = registration
      const { maxAge: max_age, maxAhead: max_ahead } = registration
      return [{ source, event_signatures, decoys, max_age, max_ahead, heartbeat }]
    },
  },
  {
    name: 'source_keys',
    columns: `'source', t.source, 'kid', t.kid, 'jwk', t.jwk, 'not_before', ${micros('t.not_before')}, 'not_after', ${micros('t.not_after')}`,
    order: 't.kid collate "C"',
    expect(event) {
      const registration = registrationOf(event)
      if (registration === null) return null
      const { source, keys } = registration
      return keys
        .toSorted((a, b) => (a.kid < b.kid ? -1 : 1))
        .map(({ kid, jwk, notBefore, notAfter }) => ({
          ...{ source, kid, jwk: inColumn({ ...jwk }) },
          ...{ not_before: notBefore && 1000 * notBefore, not_after: notAfter && 1000 * notAfter },
        }))
    },
  },
  {
    name: 'anchor_states',
    columns: `'anchor', t.anchor, 'target', a.target, 'chainId', a.chain_id, 'genesis', a.genesis, 'contract', a.contract, 'logId', a.log_id,
      'size', a.size, 'root', encode(a.root, 'hex'), 'seq', t.seq, 'state', t.state, 'recorded_at', ${micros('t.recorded_at')},
      'transaction', t.transaction, 'raw', t.raw, 'sender', t.sender, 'nonce', t.nonce, 'maxFee', t.max_fee::text,
      'maxPriorityFee', t.max_priority_fee::text, 'block', t.block, 'blockHash', t.block_hash, 'time', t.time,
      'confirmations', t.confirmations, 'gasUsed', t.gas_used, 'gasPrice', t.gas_price::text, 'detail', t.detail`,
    from: 'left join anchors a on a.id = t.anchor',
    async expect({ fields }, walk, [row], db) {
      if (fields.action !== 'anchor.commit' && fields.action !== 'anchor.withdraw') return null
      const { root, history, ...told } = metadataOf(fields)
      const earlier = row && (await readHistory(db, Number(row.anchor), Number(row.seq)))
      const absent = Object.keys(row ?? {}).filter((name) => !(name in told) && name !== 'anchor')
      return [
        {
          ...Object.fromEntries(absent.map((name) => [name, null])),
          ...told,
          ...{ root: hexOf(root), recorded_at: walk.acceptedAt },
          ...(earlier !== history && { 'of earlier states': 'what the log says' }),
        },
      ]
    },
  },
]

async function listRoot(db: Db, table: 'erased' | 'proposed', of: number): Promise<string | null> {
  const root = await readListRoot(db, table, of)
  return root && Buffer.from(root).toString('hex')
}

/** Which rows are on a page; if one event may have several, all of them. */
const pageOf = ({ name, order }: Table) =>
  order === undefined
    ? 't.log_index > $1'
    : `t.log_index in (select log_index from ${name} where log_index > $1 order by log_index limit $2)`

export function checkTold(db: Db, walk: Walk): OwnCheck {
  const tables = TABLES.map((table) => ({
    ...table,
    rows: cursor(
      db,
      `select t.log_index::float8 as key, json_build_object(${table.columns}) as columns from ${table.name} t ${table.from ?? ''}
       where ${pageOf(table)} order by t.log_index${table.order ? `, ${table.order}` : ' limit $2'}`,
    ),
  }))
  let count = 0

  return {
    id: 'told',
    title:
      'What tables say of sources, keys, links, erasures, proposals, prunings, policies, drops, holds, contradictions and anchors is what the log tells',
    async entry(walked) {
      const { logIndex } = walked
      const event = systemEvent(walked)
      const faults: Fault[] = []
      for (const { name, rows, expect } of tables) {
        const found = await rows.upTo(logIndex)
        const own = found.filter(({ key }) => key === logIndex).map(({ columns }) => columns)
        // The audit itself reports an event that cannot be read. One of the ledger's own that was dropped it reports too.
        if (!walked.isWhole && walked.dropped === null) continue
        const expected = (event && (await expect(event, walk, own, db))) ?? []
        if (found.length > own.length || own.length > expected.length)
          faults.push(
            fault(
              found.find(({ key }) => key < logIndex)?.key ?? logIndex,
              'untold',
              `${name}: a row of which the log does not tell`,
            ),
          )
        for (const [i, wanted] of expected.entries()) {
          count += 1
          if (own[i] === undefined)
            faults.push(fault(logIndex, 'absent', `${name}: there is no row for what the log tells`))
          else
            for (const column of differing(own[i], wanted))
              faults.push(fault(logIndex, 'different', `${name}.${column}: it is not what the log tells`))
        }
      }
      return faults
    },
    async finish() {
      const beyond = TABLES.map(
        ({ name }) => `select '${name}' as name where exists (
          select from ${name} where log_index > (select log_index from batches order by log_index desc limit 1) or log_index < 0)`,
      ).join(' union all ')
      const { rows } = await db.query<{ name: string }>(beyond)
      const faults = rows.map(({ name }) =>
        fault(null, 'untold', `${name}.log_index: a row for an entry that the log does not have`),
      )
      const strays = await db.query(
        'select from erased e where not exists (select from erasures where log_index = e.erasure) limit 1',
      )
      if (strays.rowCount! > 0)
        faults.push(fault(null, 'untold', 'erased.erasure: a row of an erasure that there is not'))
      const others = await db.query(
        `select from proposed d where not exists (select from proposals where log_index = d.proposal and proposes like '{"action":"erasure.order"%') limit 1`,
      )
      if (others.rowCount! > 0)
        faults.push(fault(null, 'untold', 'proposed.proposal: a row of a proposal that there is not'))
      return { faults, detail: `${count.toLocaleString('en')} rows` }
    },
  }
}

const registrationOf = (event: ParsedEvent) => readable(() => parseRegistration(event))

/** Null also if the event cannot be read as what it claims to be, which the audit itself reports. */
function readable<T>(parse: () => T | null): T | null {
  try {
    return parse()
  } catch (error) {
    if (error instanceof KillickError) return null
    throw error
  }
}

/** With its members in the order in which the database keeps them: the shorter names first. */
function inColumn(jwk: Record<string, unknown>): Record<string, unknown> {
  const byName = ([a]: [string, unknown], [b]: [string, unknown]) => a.length - b.length || (a < b ? -1 : 1)
  return Object.fromEntries(Object.entries(jwk).sort(byName))
}

const metadataOf = (fields: JsonObject): JsonObject => (isObject(fields.metadata) ? fields.metadata : {})

function targetOf({ targets }: JsonObject, type: string): JsonValue | undefined {
  const found = Array.isArray(targets) ? targets.find((target) => isObject(target) && target.type === type) : undefined
  return isObject(found) ? found.id : undefined
}

function hexOf(text: JsonValue | undefined): string | null {
  const hash = parseHash(text)
  return hash && Buffer.from(hash).toString('hex')
}

function microsOf(text: JsonValue | undefined): number | null {
  const time = parseTime(text)
  return time === null ? null : 1000 * time
}
