-- Proof links. The token is in the link alone; here is only its hash. Each row is told by an event of the system stream, in the
-- same transaction; these tables are where it is found.

create table shares (
  log_index bigint primary key,    -- of the event that tells of it
  id uuid not null unique,
  token_hash bytea not null unique check (length(token_hash) = 32),
  leaf_hash bytea not null check (length(leaf_hash) = 32),   -- of the event that it shows
  fields text[] not null,                                    -- names of the fields to show; the others stay hidden
  expires_at timestamptz,
  created_at timestamptz not null default now()
);
select append_only('shares');

create table share_revocations (
  log_index bigint primary key,    -- of the event that tells of it
  share uuid not null unique references shares (id),
  revoked_at timestamptz not null default now()
);
select append_only('share_revocations');
