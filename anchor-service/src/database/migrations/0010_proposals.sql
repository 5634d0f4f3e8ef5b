-- Proposals: orders of erasure and changes of retention policies that count once a second person has confirmed them. Each is told by an
-- event of the system stream, in the same transaction; this is where it is found.
create table proposals (
  log_index bigint primary key,    -- of the event that proposes it
  id uuid not null unique,
  proposed_by text not null,
  expires_at timestamptz not null,
  proposes text not null,          -- the event that is proposed, as JSON
  created_at timestamptz not null default now()
);
select append_only('proposals');

-- What an order of erasure that is proposed would take of which event, as `erased` has it of one that was ordered. It opens no door: packs
-- are changed by what is in `erased` only.
create table proposed (
  proposal bigint not null references proposals,
  pos integer not null check (pos >= 0),
  number bigint not null check (number >= 0), -- of the event in the log
  leaf_hash bytea not null check (length(leaf_hash) = 32),
  digests bytea not null check (length(digests) > 0 and length(digests) % 32 = 0),
  primary key (proposal, pos)
);
select append_only('proposed');

-- Proposals that were confirmed or refused. Each is told by an event too: by the one that was proposed, or by one that refuses it.
create table proposal_ends (
  log_index bigint primary key,
  proposal uuid not null unique references proposals (id),
  ended_by text not null,
  is_confirmed boolean not null
);
select append_only('proposal_ends');
