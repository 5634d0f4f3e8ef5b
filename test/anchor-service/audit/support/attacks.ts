// What somebody who owns the database may do to it, and which check notices it. Every column has an attack.

/** The row of a batch in a table that has one for each. */
export const rowOfBatch = (table: string, logIndex: number) =>
  table === 'pack_keys'
    ? `first_event = (select first_event from batches where log_index = ${logIndex})`
    : `log_index = ${logIndex}`

/** For each table, a row worth attacking, and another row like it. */
export const ROWS: { readonly [table: string]: { one: string; other: string; key: string } } = {
  anchor_states: {
    one: `(anchor, seq) = (select anchor, seq from anchor_states where state = 'confirmed' and log_index is not null order by anchor limit 1)`,
    other: `(anchor, seq) = (select anchor, seq + 1 from anchor_states where state = 'confirmed' and log_index is not null order by anchor limit 1)`,
    key: 'seq',
  },
  anchors: {
    one: 'id = (select min(id) from anchors where size > 0)',
    other: 'id = (select max(id) from anchors)',
    key: 'size',
  },
  batches: { one: rowOfBatch('batches', 30), other: rowOfBatch('batches', 31), key: 'log_index' },
  checkpoints: {
    one: 'size = (select size from checkpoints where size > 30 order by size limit 1)',
    other: 'size = (select max(size) from checkpoints where size < 200)',
    key: 'size',
  },
  equivocations: {
    one: 'log_index = (select min(log_index) from equivocations)',
    other: 'log_index = (select max(log_index) from equivocations)',
    key: 'log_index',
  },
  erased: {
    one: '(erasure, pos) = (select min(erasure), 0 from erased)',
    other: '(erasure, pos) = (select min(erasure), 1 from erased)',
    key: 'pos',
  },
  erasure_ends: {
    one: 'log_index = (select min(log_index) from erasure_ends)',
    other: 'log_index = (select max(log_index) from erasure_ends)',
    key: 'log_index',
  },
  erasures: {
    one: 'log_index = (select min(log_index) from erasures)',
    other: 'log_index = (select max(log_index) from erasures)',
    key: 'log_index',
  },
  hold_ends: {
    one: 'log_index = (select min(log_index) from hold_ends)',
    other: 'log_index = (select max(log_index) from hold_ends)',
    key: 'log_index',
  },
  holds: {
    one: 'log_index = (select min(log_index) from holds)',
    other: 'log_index = (select max(log_index) from holds)',
    key: 'log_index',
  },
  ledger: { one: 'true', other: 'false', key: 'one' },
  migrations: { one: `name like '0001%'`, other: `name like '0002%'`, key: 'name' },
  pack_keys: { one: rowOfBatch('pack_keys', 30), other: rowOfBatch('pack_keys', 31), key: 'first_event' },
  packs: { one: rowOfBatch('packs', 30), other: rowOfBatch('packs', 31), key: 'first_event' },
  proposal_ends: {
    one: 'log_index = (select min(log_index) from proposal_ends)',
    other: 'log_index = (select max(log_index) from proposal_ends)',
    key: 'log_index',
  },
  proposals: {
    one: 'log_index = (select min(log_index) from proposals)',
    other: 'log_index = (select max(log_index) from proposals)',
    key: 'log_index',
  },
  proposed: {
    one: '(proposal, pos) = (select min(proposal), 0 from proposed)',
    other: '(proposal, pos) = (select min(proposal), 1 from proposed)',
    key: 'pos',
  },
  prunings: {
    one: 'log_index = (select min(log_index) from prunings)',
    other: 'log_index = (select max(log_index) from prunings)',
    key: 'log_index',
  },
  retention_ends: {
    one: 'log_index = (select min(log_index) from retention_ends)',
    other: 'log_index = (select max(log_index) from retention_ends)',
    key: 'log_index',
  },
  retention_policies: {
    one: 'log_index = (select min(log_index) from retention_policies)',
    other: 'log_index = (select max(log_index) from retention_policies)',
    key: 'log_index',
  },
  share_revocations: {
    one: 'log_index = (select min(log_index) from share_revocations)',
    other: 'log_index = (select max(log_index) from share_revocations)',
    key: 'log_index',
  },
  shares: {
    one: 'log_index = (select min(log_index) from shares)',
    other: 'log_index = (select max(log_index) from shares)',
    key: 'log_index',
  },
  sources: {
    one: `log_index = (select min(log_index) from sources where source = 'payroll')`,
    other: `log_index = (select min(log_index) from sources where source = 'billing')`,
    key: 'log_index',
  },
  source_keys: {
    one: `log_index = (select min(log_index) from source_keys where source = 'payroll')`,
    other: `log_index = (select max(log_index) from source_keys where source = 'payroll')`,
    key: 'log_index',
  },
  tiles: {
    one: 'level = 0 and tile = 0 and start = 0',
    other:
      '(level, tile, start) = (select level, tile, start from tiles where level = 0 and start > 0 order by tile, start limit 1)',
    key: 'hashes',
  },
}

const flip = (column: string) => `set_byte(${column}, 0, get_byte(${column}, 0) # 1)`
const later = (column: string) => `${column} + interval '1 day'`

/** `internal`: the check of the service's own audit, and how what it finds begins; `external`: that of `killick audit`, if it can see it. */
type Column = [set: string, internal: [string, RegExp], external: string | null, row?: string]

/** With these altered, no batch behind is where it was, or none can be read. */
const ENDS = ['batches.n', 'packs.first_event']

/** What is held against the one batch that it is of, and harms none of those behind it. */
export const isFoundAtItsBatch = ([name, [, [check], external]]: [string, Column]) =>
  check === 'columns' && external === null && !ENDS.includes(name)

const told = (name: string): [string, RegExp] => ['told', new RegExp(`^${name}`)]
const rows = (name: string): [string, RegExp] => ['rows', new RegExp(`^${name}`)]
const columns = (name: string): [string, RegExp] => ['columns', new RegExp(`^${name}`)]
const identity = (name: string): [string, RegExp] => ['identity', new RegExp(`^${name}`)]
const states = (name: string): [string, RegExp] => ['anchors.rows', new RegExp(`^${name}`)]

const SIGNED = `(anchor, seq) = (select anchor, seq from anchor_states where raw is not null and anchor = (select min(id) from anchors where size > 0) limit 1)`
const SETTLED = `(anchor, seq) = (select anchor, max(seq) from anchor_states where anchor = (select max(id) from anchors) group by 1)`

/** An alteration of each column: SQL for its new value. */
export const COLUMNS: { readonly [column: string]: Column } = {
  'anchor_states.anchor': ['anchor + 1000', told('anchor_states'), null],
  'anchor_states.seq': ['seq + 100', told('anchor_states'), null],
  'anchor_states.state': [`'mined'`, told('anchor_states.state'), null],
  'anchor_states.recorded_at': [later('recorded_at'), told('anchor_states.recorded_at'), null],
  'anchor_states.log_index': ['log_index - 1', told('anchor_states'), null],
  'anchor_states.transaction': [
    `'0x' || repeat('ab', 32)`,
    states('anchor_states.transaction'),
    'anchors.chain',
    SETTLED,
  ],
  'anchor_states.raw': [`raw || '00'`, states('anchor_states'), null, SIGNED],
  'anchor_states.sender': [`'0x' || repeat('ab', 20)`, told('anchor_states.sender'), null],
  'anchor_states.nonce': ['nonce + 1', told('anchor_states.nonce'), null],
  'anchor_states.max_fee': ['max_fee + 1', told('anchor_states.maxFee'), null],
  'anchor_states.max_priority_fee': ['max_priority_fee + 1', told('anchor_states.maxPriorityFee'), null],
  'anchor_states.block': ['block - 1', states('anchor_states.block'), 'anchors.chain', SETTLED],
  'anchor_states.block_hash': [`'0x' || repeat('ab', 32)`, told('anchor_states.blockHash'), null],
  'anchor_states.time': ['time + 1', states('anchor_states.time'), 'anchors.chain', SETTLED],
  'anchor_states.confirmations': ['confirmations + 1', told('anchor_states.confirmations'), null],
  'anchor_states.gas_used': ['gas_used + 1', told('anchor_states.gasUsed'), null],
  'anchor_states.gas_price': ['gas_price + 1', told('anchor_states.gasPrice'), null],
  'anchor_states.detail': [`'It was paid twice.'`, told('anchor_states.detail'), null],
  'anchors.target': [`'other'`, told('anchor_states.target'), null],
  'anchors.chain_id': ['chain_id + 1', told('anchor_states.chainId'), null],
  'anchors.genesis': [`'0x' || repeat('ab', 32)`, told('anchor_states.genesis'), null],
  'anchors.contract': [`'0x' || repeat('ab', 20)`, told('anchor_states.contract'), null],
  'anchors.log_id': [`'0x' || repeat('ab', 32)`, told('anchor_states.logId'), null],
  'anchors.size': ['size - 1', told('anchor_states.size'), 'anchors.log'],
  'anchors.events': ['events + 1', states('anchors.events'), null],
  'anchors.root': [flip('root'), states('anchors.root'), 'anchors.log'],
  'anchors.planned_at': [later('planned_at'), states('anchors.planned_at'), null],
  'batches.log_index': ['1000', columns('batches.log_index'), 'root'],
  'batches.source': [`'payroll'`, columns('batches.source'), null],
  'batches.stream': [`'other'`, columns('batches.stream'), null],
  'batches.seq': ['seq + 1000', columns('batches.seq'), null],
  'batches.n': ['2, event_leaves = event_leaves || event_leaves', columns('batches'), null],
  'batches.header': [`(select header from batches where log_index = 31)`, ['events', /./], 'events'],
  'batches.leaf_hash': [flip('leaf_hash'), columns('batches.leaf_hash'), null],
  'batches.event_leaves': [flip('event_leaves'), columns('batches.event_leaves'), null],
  'batches.event_nodes': [`event_nodes || sha256('')`, columns('batches.event_nodes'), null],
  'batches.first_event': ['first_event + 1', columns('batches.first_event'), null],
  'batches.earliest': [`earliest - interval '1 day'`, columns('batches.earliest'), null],
  'batches.latest': [later('latest'), columns('batches.latest'), null],
  // The first of a commit: with one amid others, the tiles of that commit are named first.
  'batches.accepted_at': [
    `accepted_at - interval '10 years'`,
    rows('batches.accepted_at'),
    null,
    'log_index = (select min(size) from checkpoints where size > 30)',
  ],
  'checkpoints.size': ['size + 1000', rows('(checkpoints|batches)'), 'anchors.log'],
  'checkpoints.root': [flip('root'), rows('checkpoints.root'), null],
  'checkpoints.note': [
    // One character of the signature, whatever it is.
    `overlay(note placing (case substr(note, length(note) - 20, 1) when 'A' then 'B' else 'A' end) from length(note) - 20 for 1)`,
    ['checkpoints', /^The checkpoint of/],
    'checkpoints',
  ],
  'checkpoints.signed_at': [
    `signed_at - interval '1 second'`,
    rows('batches.accepted_at, checkpoints.signed_at'),
    null,
  ],
  'equivocations.log_index': ['log_index - 1', told('equivocations'), 'records'],
  'equivocations.batch': ['batch - 1', told('equivocations'), 'records'],
  'equivocations.refused': [`replace(refused, '.', '..')`, told('equivocations.refused'), 'records'],
  'equivocations.refused_hash': [flip('refused_hash'), told('equivocations.refused_hash'), null],
  'equivocations.recorded_at': [later('recorded_at'), told('equivocations.recorded_at'), 'records'],
  'erased.erasure': ['erasure + 1000', told('erasures'), null],
  'erased.pos': ['pos + 100', told('erasures'), null],
  'erased.number': ['number + 1', told('erasures'), null],
  'erased.leaf_hash': [flip('leaf_hash'), told('erasures'), 'erasures'],
  'erased.digests': [flip('digests'), told('erasures'), 'fields'],
  'erasure_ends.log_index': ['log_index - 1', told('erasure_ends'), null],
  'erasure_ends.erasure': ['erasure + 1000', told('erasure_ends.erasure'), null],
  'erasures.log_index': ['log_index - 1', told('erasures'), 'erasures'],
  'erasures.id': ['gen_random_uuid()', told('erasures.id'), null],
  'erasures.count': ['count + 1', told('erasures.count'), null],
  'erasures.root': [flip('root'), told('erasures.root'), 'erasures'],
  'erasures.created_at': [later('created_at'), told('erasures.created_at'), null],
  'erasures.policy': ['(select min(log_index) from retention_policies)', told('erasures.policy'), null],
  'hold_ends.log_index': ['log_index - 1', told('hold_ends'), 'holds'],
  'hold_ends.hold': ['gen_random_uuid()', told('hold_ends.hold'), 'holds'],
  'hold_ends.ended_at': [later('ended_at'), told('hold_ends.ended_at'), null],
  'holds.log_index': ['log_index - 1', told('holds'), 'holds'],
  'holds.id': ['gen_random_uuid()', told('holds.id'), 'holds'],
  'holds.covers': [`'{}'`, told('holds.covers'), 'holds'],
  'holds.created_at': [later('created_at'), told('holds.created_at'), null],
  'ledger.origin': [`'other.example/log'`, identity('ledger.origin'), null],
  'ledger.vkey': [`vkey || 'A'`, identity('ledger.vkey'), null],
  'migrations.name': [`'9999_other.sql'`, identity('migrations.name'), null],
  'migrations.checksum': [`md5(checksum)`, identity('migrations.checksum'), null],
  'pack_keys.first_event': ['first_event + 1000', columns('pack_keys.first_event'), null],
  'pack_keys.scheme': ['1', columns('pack_keys.key'), null],
  'pack_keys.keys': [flip('keys'), columns('pack_keys.keys'), null],
  'pack_keys.key_counts': [flip('key_counts'), columns('pack_keys.key_counts'), null],
  'packs.first_event': ['first_event + 1000', columns('packs.first_event'), null],
  'packs.log_index': ['log_index + 1', columns('packs.log_index'), null],
  'packs.pos': ['pos + 1', columns('packs.pos'), null],
  'packs.n': ['n + 1', columns('packs.n'), null],
  'packs.ids': [flip('ids'), columns('packs.ids'), null],
  'packs.times': [flip('times'), columns('packs.times'), null],
  'packs.frame_ends': ['array[octet_length(body)]', columns('packs.frame_ends'), null],
  'packs.body': [`(select body from packs where log_index = 31)`, ['events', /./], 'events'],
  'proposal_ends.log_index': ['log_index - 1', told('proposal_ends'), null],
  'proposal_ends.proposal': ['gen_random_uuid()', told('proposal_ends.proposal'), null],
  'proposal_ends.ended_by': [`'carl'`, told('proposal_ends.ended_by'), null],
  'proposal_ends.is_confirmed': ['false', told('proposal_ends.is_confirmed'), null],
  'proposals.log_index': ['log_index - 1', told('proposals'), null],
  'proposals.id': ['gen_random_uuid()', told('proposals.id'), null],
  'proposals.proposed_by': [`'carl'`, told('proposals.proposed_by'), null],
  'proposals.expires_at': [later('expires_at'), told('proposals.expires_at'), null],
  'proposals.proposes': [`replace(proposes, 'test', 'tale')`, told('proposals.proposes'), null],
  'proposals.created_at': [later('created_at'), told('proposals.created_at'), null],
  'proposed.proposal': ['proposal + 1000', told('propos(als|ed)'), null],
  'proposed.pos': ['pos + 100', told('proposals'), null],
  'proposed.number': ['number + 1', told('proposals'), null],
  'proposed.leaf_hash': [flip('leaf_hash'), told('proposals'), null],
  'proposed.digests': [flip('digests'), told('proposals'), null],
  'prunings.log_index': ['log_index - 1', told('prunings'), null],
  'prunings.after_days': [
    '1',
    told('prunings.after_days'),
    'pruning',
    'log_index = (select max(log_index) from prunings)',
  ],
  'prunings.created_at': [later('created_at'), told('prunings.created_at'), null],
  'retention_ends.log_index': ['log_index - 1', told('retention_ends'), null],
  'retention_ends.policy': ['policy + 1000', told('retention_ends.policy'), null],
  'retention_ends.ended_at': [later('ended_at'), told('retention_ends.ended_at'), null],
  'retention_policies.log_index': ['log_index - 1', told('retention_policies'), 'retention'],
  'retention_policies.id': [`'other'`, told('retention_policies.id'), 'retention'],
  'retention_policies.version': ['version + 1', told('retention_policies.version'), null],
  'retention_policies.covers': [`'{}'`, told('retention_policies.covers'), 'retention'],
  'retention_policies.contents_days': ['contents_days - 1', told('retention_policies.contents_days'), 'retention'],
  'retention_policies.events_days': ['40', told('retention_policies.events_days'), 'retention'],
  'retention_policies.created_at': [later('created_at'), told('retention_policies.created_at'), null],
  'share_revocations.log_index': ['log_index - 1', told('share_revocations'), 'records'],
  'share_revocations.share': ['gen_random_uuid()', told('share_revocations.share'), 'records'],
  'share_revocations.revoked_at': [later('revoked_at'), told('share_revocations.revoked_at'), null],
  'shares.log_index': ['log_index - 1', told('shares'), 'records'],
  'shares.id': ['gen_random_uuid()', told('shares.id'), 'records'],
  'shares.token_hash': [flip('token_hash'), told('shares.token_hash'), null],
  'shares.leaf_hash': [flip('leaf_hash'), told('shares.leaf_hash'), 'records'],
  'shares.fields': [`array_append(fields, 'metadata')`, told('shares.fields'), 'records'],
  'shares.expires_at': [later('expires_at'), told('shares.expires_at'), 'records'],
  'shares.created_at': [later('created_at'), told('shares.created_at'), 'records'],
  'sources.log_index': ['log_index + 1', told('sources'), null],
  'sources.source': [`'billing'`, told('sources.source'), null],
  'sources.event_signatures': [`'required'`, told('sources.event_signatures'), null],
  'sources.decoys': ['not decoys', told('sources.decoys'), null],
  'sources.max_age': ['coalesce(max_age, 0) + 1', told('sources.max_age'), null],
  'sources.max_ahead': ['coalesce(max_ahead, 0) + 1', told('sources.max_ahead'), null],
  'sources.heartbeat': ['coalesce(heartbeat, 0) + 1', told('sources.heartbeat'), null],
  'source_keys.log_index': ['log_index + 1', told('source_keys'), null],
  'source_keys.source': [`'billing'`, told('source_keys.source'), null],
  'source_keys.kid': [`(select kid from source_keys where source = 'billing')`, told('source_keys.kid'), null],
  'source_keys.jwk': [`(select jwk from source_keys where source = 'billing')`, told('source_keys.jwk'), null],
  'source_keys.not_before': [`'2001-01-01'`, told('source_keys.not_before'), null],
  'source_keys.not_after': ['null', told('source_keys.not_after'), null],
  'tiles.level': ['level + 5', rows('tiles'), 'tiles'],
  'tiles.tile': ['tile + 7', rows('tiles'), 'tiles'],
  'tiles.start': ['start + 1', rows('tiles'), null, 'level = 1'],
  'tiles.hashes': [flip('hashes'), ['tiles', /^\/tile\/0/], 'tiles'],
}

/** Columns that only a change of the table can alter, which the catalogue then shows. */
export const GENERATED = ['anchors.checkpoint', 'anchors.id']
/** Columns of the index of keys, which needs a longer ledger: see below in the test. */
export const INDEX = [
  'key_blocks.scheme',
  'key_blocks.level',
  'key_blocks.start',
  'key_blocks.first',
  'key_blocks.entries',
]

/** Columns of drops, which need a ledger that has grown old (dropped.test.ts): the value, and how what is found begins. */
export const DROPS: { readonly [column: string]: readonly [value: string, begins: RegExp] } = {
  log_index: ['log_index - 1', /^drops: a row of which the log does not tell/],
  policy: [`(select log_index from retention_policies where id = 'slow')`, /^drops\.policy: /],
  entries: [`entries + '{[0,1)}'`, /^drops\.entries: /],
  events: ['events + 1', /^drops\.events: /],
  created_at: [later('created_at'), /^drops\.created_at: /],
}

/** Rows of drops that nothing tells of: of an entry that tells something else, and of one that the log does not have. */
export const DROPS_FORGED = [
  `log_index - 1, policy, '{[0,1)}', events, created_at`,
  `log_index + 100000, policy, '{[0,1)}', events, created_at`,
]

/** Which check finds a row that was deleted from a table, or added to it. */
export const TABLES: {
  readonly [table: string]: { check: string; external: string | null; forged?: string; swapped?: string }
} = {
  anchor_states: { check: 'told', external: null, forged: `seq = seq + 50, state = 'reorganised', log_index = 1` },
  anchors: { check: 'anchors.rows', external: null, forged: `id = 1000, size = size - 1` },
  batches: { check: 'columns', external: 'root', forged: `log_index = 1000, seq = 1000` },
  checkpoints: { check: 'rows', external: null, forged: `size = 1000` },
  equivocations: { check: 'told', external: 'records', forged: `log_index = 1, refused_hash = sha256('')` },
  erased: { check: 'told', external: 'fields', forged: `pos = 100` },
  erasure_ends: { check: 'told', external: null, forged: `log_index = 1, erasure = 1` },
  erasures: { check: 'told', external: 'erasures', forged: `log_index = 1, id = gen_random_uuid()` },
  hold_ends: { check: 'told', external: null, forged: `log_index = 1, hold = gen_random_uuid()` },
  holds: { check: 'told', external: 'holds', forged: `log_index = 1, id = gen_random_uuid()` },
  ledger: { check: 'identity', external: null },
  migrations: { check: 'identity', external: null, forged: `name = '9999_other.sql'` },
  pack_keys: { check: 'columns', external: null, forged: `scheme = 99` },
  packs: { check: 'columns', external: null, forged: `first_event = 1000` },
  retention_ends: { check: 'told', external: 'retention', forged: `log_index = 1, policy = 1` },
  retention_policies: { check: 'told', external: 'retention', forged: `log_index = 1, version = 50` },
  share_revocations: {
    ...{ check: 'told', external: 'records' },
    forged: `log_index = 1, share = (select id from shares order by log_index desc limit 1)`,
  },
  shares: {
    check: 'told',
    external: 'records',
    forged: `log_index = 1, id = gen_random_uuid(), token_hash = sha256('')`,
  },
  sources: { check: 'told', external: null, forged: `log_index = 30, decoys = true` },
  source_keys: { check: 'told', external: null, forged: `kid = repeat('A', 43)` },
  tiles: { check: 'rows', external: null, forged: `level = 5`, swapped: 'tiles' },
}

/** Attacks on the schema: each is rolled back. */
export const SCHEMA: readonly [what: string, sql: string][] = [
  [
    'a row policy',
    `alter table packs enable row level security; create policy p on packs using (not current_query() like '%position(%')`,
  ],
  ['a row policy on a partition', 'alter table packs_0 enable row level security'],
  ['a rule', 'create rule r as on insert to share_revocations do instead nothing'],
  [
    'a trigger added',
    'create trigger t before insert on share_revocations for each row execute function refuse_change()',
  ],
  ['a trigger dropped', 'drop trigger append_only on packs'],
  ['a trigger disabled', 'alter table batches disable trigger append_only'],
  ['a trigger of a partition disabled', 'alter table packs_0 disable trigger append_only'],
  ['triggers that nobody looks for', `update pg_class set relhastriggers = false where relname = 'packs_0'`],
  ['checks that nobody looks for', `update pg_class set relchecks = 0 where relname = 'tiles'`],
  ['indexes that nobody looks for', `update pg_class set relhasindex = false where relname = 'equivocations'`],
  ['an index that is not kept', `update pg_index set indisready = false where indrelid = 'equivocations'::regclass`],
  ['a foreign key disabled', 'alter table share_revocations disable trigger all'],
  [
    'a view replaced',
    `create or replace view current_anchors as
     select a.id, a.target, a.chain_id, a.genesis, a.contract, a.log_id, a.size, a.events, a.root, a.planned_at,
         s.seq, s.state, s.recorded_at, s.transaction, s.raw, s.sender, s.nonce, s.max_fee, s.max_priority_fee,
         s.block, s.block_hash, s.time, s.confirmations, s.gas_used, s.gas_price, s.detail
     from anchors a cross join lateral (select * from anchor_states where anchor = a.id order by seq limit 1) s`,
  ],
  [
    'a table replaced by a view',
    'alter table equivocations rename to hidden; create view equivocations as select * from hidden where false',
  ],
  [
    'a function replaced',
    `create or replace function refuse_change() returns trigger language plpgsql as 'begin return new; end'`,
  ],
  ['a function added', `create function length(text) returns int language sql as 'select 0'`],
  ['a function made its owner’s', 'alter function refuse_change() security definer'],
  ['an operator added', 'create operator === (leftarg = text, rightarg = text, function = texteq)'],
  ['a type added', 'create domain hash as bytea'],
  ['a default changed', `alter table batches alter accepted_at set default now() - interval '1 year'`],
  ['a column added', 'alter table shares add note text'],
  ['a column dropped', 'alter table shares drop expires_at cascade'],
  ['a column that may be null', 'alter table shares alter token_hash drop not null'],
  ['a generated column made an ordinary one', 'alter table anchors alter checkpoint drop expression'],
  ['an identity made an ordinary column', 'alter table anchors alter id drop identity'],
  ['a check dropped', 'alter table tiles drop constraint tiles_start_check'],
  ['a unique index dropped', 'alter table equivocations drop constraint equivocations_batch_refused_hash_key'],
  ['an index dropped', 'drop index anchors_size_idx'],
  ['an index added', 'create index on shares (created_at)'],
  ['a table added', 'create table other (a int)'],
  ['a table added that another is read with', 'create table public.heir () inherits (shares)'],
  ['a partition detached', 'alter table packs detach partition packs_0'],
  ['a sequence changed', 'alter sequence anchors_id_seq increment by 1000'],
  ['a privilege granted', 'grant update on shares to killick_ledger'],
  ['a privilege of one column', 'grant update (fields) on shares to killick_ledger'],
  ['a privilege on a partition', 'grant delete on packs_0 to killick_ledger'],
  ['a privilege for all', 'grant insert on shares to public'],
  ['a privilege taken', 'revoke select on shares from killick_ledger'],
  ['a privilege of a role that may write everything', 'grant pg_write_all_data to killick_ledger'],
  ['a role to take', 'create role taken superuser; grant taken to killick_ledger with inherit false'],
  ['a superuser', 'alter role killick_ledger superuser'],
  ['a default privilege', 'alter default privileges in schema killick grant update on tables to killick_ledger'],
  ['an owner changed', 'alter table shares owner to killick_ledger'],
  [
    'the search path of the database',
    `do $$ begin execute format('alter database %I set search_path = public', current_database()); end $$`,
  ],
  ['the search path of the role', 'alter role killick_ledger set search_path = public'],
  [
    'triggers off for a user',
    `do $$ begin execute format('alter role %I set session_replication_role = replica', session_user); end $$`,
  ],
  [
    'a name of PostgreSQL’s taken',
    `set allow_system_table_mods = on; create function pg_catalog.sha256(text) returns bytea language sql as 'select null::bytea'`,
  ],
  [
    'a name of PostgreSQL’s taken, as if by an extension',
    `set allow_system_table_mods = on; create function pg_catalog.sha256(text) returns bytea language sql as 'select null::bytea';
     alter extension plpgsql add function pg_catalog.sha256(text)`,
  ],
  [
    'a table in front of one, as if by an extension',
    `set allow_system_table_mods = on; create view pg_catalog.equivocations as select * from killick.equivocations where false;
     alter extension plpgsql add view pg_catalog.equivocations`,
  ],
  [
    'a policy behind catalogues that do not show it',
    `create policy p on shares using (true); set allow_system_table_mods = on;
     alter table pg_catalog.pg_policy rename to pg_policies_of_old; alter table pg_catalog.pg_class rename to pg_classes_of_old;
     create view pg_catalog.pg_policy as select * from pg_catalog.pg_policies_of_old where false;
     create view pg_catalog.pg_class as select * from pg_catalog.pg_classes_of_old where oid < 16384 or relnamespace <> 11;
     grant select on pg_catalog.pg_policy, pg_catalog.pg_class to public`,
  ],
  [
    'a cast added, as if by an extension',
    `create function public.other(bytea) returns text language sql as $$ select '' $$; create cast (bytea as text) with function public.other(bytea);
     alter extension plpgsql add cast (bytea as text)`,
  ],
  [
    'a function of PostgreSQL’s replaced',
    `set allow_system_table_mods = on; create or replace function pg_catalog.sha256(bytea) returns bytea language sql immutable
       as $$ select case when $1 = '' then '' else pg_catalog.sha256($1) end $$`,
  ],
  [
    'an aggregate of PostgreSQL’s replaced',
    `create function public.fewer(int8, int8) returns int8 language sql as 'select $1'; set allow_system_table_mods = on;
     create or replace aggregate pg_catalog.max(int8) (sfunc = public.fewer, stype = int8)`,
  ],
  [
    'an operator of PostgreSQL’s replaced',
    `create function public.never(text, text) returns boolean language sql as 'select false';
     update pg_operator set oprcode = 'public.never(text, text)'::regprocedure where oid = '=(text, text)'::regoperator`,
  ],
  [
    'one operator of PostgreSQL’s given the function of another',
    `update pg_operator set oprcode = 'timestamptz_ge'::regproc where oid = '<=(timestamptz, timestamptz)'::regoperator`,
  ],
  [
    'one aggregate of PostgreSQL’s given the function of another',
    `update pg_aggregate set aggtransfn = 'int8smaller'::regproc where aggfnoid = 'max(int8)'::regprocedure`,
  ],
  [
    'one aggregate of PostgreSQL’s given the order of another',
    `update pg_aggregate set aggsortop = '<(int8, int8)'::regoperator where aggfnoid = 'max(int8)'::regprocedure`,
  ],
  [
    'an operator that is another when it is turned round',
    `update pg_operator set oprcom = oid where oid = '<=(int8, int8)'::regoperator`,
  ],
  [
    'an operator that is no other when it is denied',
    `update pg_operator set oprnegate = oid where oid = '=(text, text)'::regoperator`,
  ],
  [
    'an operator of ranges given the function of another',
    `update pg_operator set oprcode = 'range_before'::regproc where oid = '&&(anyrange, anyrange)'::regoperator`,
  ],
  [
    'a form of indexes given the operators of another',
    `update pg_opclass set opcfamily = (select opcfamily from pg_opclass o join pg_am m on m.oid = opcmethod where opcname = 'text_pattern_ops' and amname = 'btree')
     where opcname = 'text_ops' and opcmethod = (select oid from pg_am where amname = 'btree')`,
  ],
  [
    'a conversion to what large numbers are read as',
    `update pg_cast set castfunc = 'int8um'::regproc where castsource = 'int8'::regtype and casttarget = 'float8'::regtype`,
  ],
  [
    'partitions by another column',
    `update pg_partitioned_table set partattrs = '2' where partrelid = 'packs'::regclass`,
  ],
  [
    'one conversion of PostgreSQL’s given the function of another',
    `update pg_cast set castfunc = 'int8(int2)'::regprocedure where castsource = 'int4'::regtype and casttarget = 'int8'::regtype`,
  ],
  [
    'one order of PostgreSQL’s indexes given the function of another',
    `update pg_amproc set amproc = 'bttext_pattern_cmp'::regproc where amproc = 'bttextcmp'::regproc`,
  ],
  [
    'how PostgreSQL sorts given the function of another',
    `update pg_amproc set amproc = 'btint4sortsupport'::regproc where amproc = 'btint8sortsupport'::regproc`,
  ],
  [
    'how a type of PostgreSQL’s is printed replaced',
    `create function public.whole(numeric) returns cstring language internal immutable as 'numeric_out';
     update pg_type set typoutput = 'public.whole'::regproc where oid = 'numeric'::regtype`,
  ],
  [
    'how PostgreSQL’s indexes compare replaced',
    `create function public.lies(text, text) returns int language plpgsql immutable as
       $$ begin return case when current_query() like '%with covering%' then 1 else bttextcmp($1, $2) end; end $$;
     update pg_amproc set amproc = 'public.lies(text, text)'::regprocedure where amproc = 'bttextcmp'::regproc`,
  ],
  [
    'an operator of PostgreSQL’s indexes replaced',
    `create operator public.<<< (leftarg = bytea, rightarg = bytea, function = bytealt);
     update pg_amop set amopopr = 'public.<<<(bytea, bytea)'::regoperator where amopopr = '<(bytea, bytea)'::regoperator`,
  ],
  [
    'another order made that of a type',
    `update pg_opclass set opcdefault = false where opcintype = 'bytea'::regtype and opcmethod = (select oid from pg_am where amname = 'btree');
     create operator class public.other default for type bytea using btree as operator 1 <, operator 2 <=, operator 3 =, operator 4 >=,
       operator 5 >, function 1 byteacmp(bytea, bytea)`,
  ],
  [
    'PostgreSQL’s form of a range replaced',
    `create function public.form(int8range) returns int8range language plpgsql immutable as 'begin return $1; end';
     update pg_range set rngcanonical = 'public.form'::regproc where rngtypid = 'int8range'::regtype`,
  ],
  ['a collation', 'alter table equivocations alter refused type text collate "C"'],
  [
    'an operator of PostgreSQL’s added',
    `create function public.never(text, bytea) returns boolean language sql as 'select false'; set allow_system_table_mods = on;
     create operator pg_catalog.= (leftarg = text, rightarg = bytea, function = public.never)`,
  ],
  [
    'a cast added',
    `create function public.other(bytea) returns text language sql as $$ select '' $$; create cast (bytea as text) with function public.other(bytea)`,
  ],
]
