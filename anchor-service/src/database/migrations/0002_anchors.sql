-- Anchors: the intention to commit one checkpoint to one contract, and everything that happened to it since.

create table anchors (
  id bigint generated always as identity primary key,
  target text not null,            -- its name in the configuration
  chain_id bigint not null,
  genesis text not null,           -- hash of block 0: tells a chain from another that took its id; '' where nodes keep it to themselves
  contract text not null,          -- 0x, lower case
  log_id text not null,            -- 0x, lower case
  size bigint not null check (size >= 0), -- 0 is the opening of the log
  checkpoint bigint generated always as (nullif(size, 0)) stored references checkpoints,
  events bigint not null check (events >= 0), -- in the log up to this size
  root bytea not null check (length(root) = 32),
  planned_at timestamptz not null default now(),
  unique (chain_id, genesis, contract, log_id, size)
);
create index on anchors (size);
create index on anchors (target, id);
select append_only('anchors');

-- One row per change of state; the newest row of an anchor is its state. Whoever adds one names its place (`seq`), which is
-- one behind the row it has seen: of two workers that decide at once, one finds the place taken and reads again. A raw
-- transaction is stored when it is signed, before it is broadcast, so that a crash continues with the same transaction.
create table anchor_states (
  anchor bigint not null references anchors,
  seq integer not null check (seq >= 0),
  state text not null check (state in ('planned', 'signed', 'broadcast', 'mined', 'confirmed', 'final',
                                       'dropped', 'replaced', 'reverted', 'reorganised', 'abandoned')),
  recorded_at timestamptz not null default now(),
  log_index bigint unique,         -- of the event that tells of it, in the same transaction; null where none does
  transaction text,                -- hash, 0x, lower case
  raw text,                        -- the signed transaction, 0x; only where it is signed: in states signed and replaced
  sender text,                     -- 0x, lower case
  nonce bigint,
  max_fee numeric,                 -- wei per gas
  max_priority_fee numeric,        -- wei per gas; null for a transaction with one price
  block bigint,
  block_hash text,
  time bigint,                     -- block time that the contract committed to, unix seconds
  confirmations integer,
  gas_used bigint,
  gas_price numeric,               -- wei per gas, as paid
  detail text,                     -- a sentence for people
  primary key (anchor, seq)
);
select append_only('anchor_states');

create view current_anchors as
  select a.id, a.target, a.chain_id, a.genesis, a.contract, a.log_id, a.size, a.events, a.root, a.planned_at,
         s.seq, s.state, s.recorded_at, s.transaction, s.raw, s.sender, s.nonce, s.max_fee, s.max_priority_fee,
         s.block, s.block_hash, s.time, s.confirmations, s.gas_used, s.gas_price, s.detail
  from anchors a
  cross join lateral (select * from anchor_states where anchor = a.id order by seq desc limit 1) s;
