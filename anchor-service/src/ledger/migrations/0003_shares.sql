-- Proof links. The token is in the link alone; here is only its hash. What a link shows stands in the system stream too.

create table shares (
  number bigint generated always as identity primary key,
  id uuid not null unique,
  token_hash bytea not null unique check (length(token_hash) = 32),
  leaf_hash bytea not null check (length(leaf_hash) = 32),   -- of the event
  fields text[] not null,                                    -- names of the fields to show; the others stay hidden
  expires_at timestamptz,
  created_at timestamptz not null default now()
);
select append_only('shares');

create table share_revocations (
  share uuid primary key references shares (id),
  revoked_at timestamptz not null default now()
);
select append_only('share_revocations');
