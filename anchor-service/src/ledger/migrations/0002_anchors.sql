-- Anchors: the intention to commit one checkpoint to one target, and everything that happened to it since.

create table anchors (
  id bigint generated always as identity primary key,
  target text not null,            -- name of the target in the configuration
  chain_id bigint not null,
  contract text not null,          -- 0x, lower case
  log_id text not null,            -- 0x, lower case
  size bigint not null references checkpoints,
  root bytea not null check (length(root) = 32),
  planned_at timestamptz not null default now(),
  unique (chain_id, contract, log_id, size)
);
create index on anchors (size);
select append_only('anchors');

-- One row per change of state; the newest row of an anchor is its state. The raw transaction is stored when it is
-- signed, before it is broadcast, so that a crash continues with the same transaction.
create table anchor_states (
  id bigint generated always as identity primary key,
  anchor bigint not null references anchors,
  state text not null check (state in ('planned', 'signed', 'broadcast', 'mined', 'confirmed', 'final',
                                       'dropped', 'replaced', 'reverted', 'reorganised', 'abandoned')),
  recorded_at timestamptz not null default now(),
  transaction text,                -- hash, 0x, lower case
  raw text,                        -- the signed transaction, 0x
  sender text,                     -- publisher, 0x, lower case
  nonce bigint,
  max_fee numeric,                 -- wei per gas
  max_priority_fee numeric,        -- wei per gas
  block bigint,
  block_hash text,
  time bigint,                     -- block time the contract committed to, unix seconds
  confirmations integer,
  gas_used bigint,
  gas_price numeric,               -- wei per gas, as paid
  detail text                      -- a sentence for people
);
create index on anchor_states (anchor, id desc);
create index on anchor_states (sender, nonce) where nonce is not null;
select append_only('anchor_states');

create view current_anchors as
  select a.id, a.target, a.chain_id, a.contract, a.log_id, a.size, a.root, a.planned_at,
         s.id as state_id, s.state, s.recorded_at, s.transaction, s.raw, s.sender, s.nonce, s.max_fee, s.max_priority_fee,
         s.block, s.block_hash, s.time, s.confirmations, s.gas_used, s.gas_price, s.detail
  from anchors a
  cross join lateral (select * from anchor_states where anchor = a.id order by id desc limit 1) s;
