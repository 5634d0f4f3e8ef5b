-- Retention policies: after how many days contents of events go. Each version is told by an event of the system stream, in the same
-- transaction; this is where it is found.
create table retention_policies (
  log_index bigint primary key,    -- of the event that sets it
  id text not null,
  version integer not null check (version > 0),
  covers jsonb not null,           -- as in the event; {}: every source's events
  contents_days integer not null check (contents_days > 0),
  created_at timestamptz not null default now(),
  unique (id, version)
);
select append_only('retention_policies');

-- Policies that were ended, at the version that stood. Each is told by an event too.
create table retention_ends (
  log_index bigint primary key,
  policy bigint not null unique references retention_policies,
  ended_at timestamptz not null default now()
);
select append_only('retention_ends');

-- By which version of which policy the events have expired; null: somebody ordered it.
alter table erasures add column policy bigint references retention_policies;
create index on erasures (policy);
