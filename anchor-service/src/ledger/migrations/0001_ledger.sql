-- The ledger. Everything is insert-only: a change is a new row, and the newest row counts.

create function append_only(name regclass) returns void language plpgsql as $$
begin
  execute format('create trigger append_only before update or delete on %s for each statement execute function refuse_change()', name);
  execute format('create trigger append_only_truncate before truncate on %s for each statement execute function refuse_change()', name);
end $$;

create function refuse_change() returns trigger language plpgsql as $$
begin
  raise exception 'the ledger is append-only: % on % is refused', tg_op, tg_table_name using errcode = 'restrict_violation';
end $$;

select append_only('migrations');

-- Which log this is. One row, for the life of the database.
create table ledger (
  one boolean primary key default true check (one),
  origin text not null,
  vkey text not null,              -- C2SP verifier key of the log, with which every checkpoint is signed
  created_at timestamptz not null default now()
);
select append_only('ledger');

create table sources (
  id bigint generated always as identity primary key,
  source text not null,
  event_signatures text not null check (event_signatures in ('required', 'optional')),
  recorded_at timestamptz not null default now()
);
create index on sources (source, id desc);
select append_only('sources');

create table source_keys (
  id bigint generated always as identity primary key,
  source text not null,
  kid text not null,
  jwk jsonb not null,
  not_before timestamptz,
  not_after timestamptz,
  recorded_at timestamptz not null default now()
);
create index on source_keys (source, kid, id desc);
select append_only('source_keys');

-- One row per log entry; the header is the entry, its hash the leaf.
create table batches (
  log_index bigint check (log_index >= 0),
  source text not null,
  stream text not null,
  seq bigint not null check (seq >= 0),
  n integer not null check (n > 0),
  header text not null,
  leaf_hash bytea not null check (length(leaf_hash) = 32),
  event_leaves bytea not null,
  first_event bigint not null,     -- number of its first event: how many events stand in the log before it
  earliest timestamptz not null,   -- between these times its events were recorded
  latest timestamptz not null,
  accepted_at timestamptz not null default now(),
  -- With what a search needs of a batch, so that the rows themselves, which are long, are not read for it.
  primary key (log_index) include (first_event, n, earliest, latest),
  unique (source, stream, seq),
  check (length(event_leaves) = 32 * n)
);
create index on batches (source, log_index) include (first_event, n, earliest, latest);
create index on batches using gist (tstzrange(earliest, latest, '[]'));
select append_only('batches');

-- What the events are (the JWS part, whose ASCII is the leaf), what they say (disclosures, each followed by "~") and what
-- they are found by. `number` counts all events of the log from 0, in order. No foreign key to batches: one transaction writes
-- both and nothing is ever deleted, and checking it row by row costs a fifth of an insert (measured).
create table events (
  number bigint primary key,
  log_index bigint not null,
  pos integer not null,
  id uuid not null,
  leaf_hash bytea not null,
  source text not null,
  recorded_at timestamptz not null,
  action text,
  actor text,
  targets text[] not null,
  jws text storage external not null,
  disclosures text storage external not null
) partition by range (number);
create index on events (id);
create index on events using hash (leaf_hash);
-- Ascending, so that a term's entries are appended where its last ones stand; read backwards for the newest first.
create index on events (action, number);
create index on events (actor, number);
create index on events using gin (targets);
select append_only('events');

-- Makes sure that events up to a number have their partition: 4,194,304 to each, so that vacuum, retention and the depth of an
-- index stay what they are however long the log grows. Attaching, unlike creating in place, keeps nobody from reading.
-- The service's role may not create tables; this it may.
create function extend_events(upto bigint) returns void language plpgsql security definer set search_path = killick, pg_temp as $$
declare
  width constant bigint := 4194304;
  first constant bigint := upto / width * width;
  name constant text := 'events_' || upto / width;
begin
  if to_regclass(name) is not null then return; end if;
  -- Rows stay in one piece as long as a page can hold them: base64 does not get smaller by compressing it.
  execute format('create table %I (like events including all) with (toast_tuple_target = 8160)', name);
  execute format('alter table events attach partition %I for values from (%s) to (%s)', name, first, first + width);
  perform append_only(name::regclass);
end $$;
select extend_events(0);

-- The tree as C2SP tiles. Each commit adds one segment per tile it touches: `hashes` starts at offset `start` of the tile.
create table tiles (
  level smallint not null,
  tile bigint not null,
  start smallint not null check (start between 0 and 255),
  hashes bytea not null check (length(hashes) % 32 = 0 and length(hashes) between 32 and 8192 - 32 * start),
  primary key (level, tile, start)
);
select append_only('tiles');

create table checkpoints (
  size bigint primary key check (size >= 0),
  root bytea not null check (length(root) = 32),
  note text not null,
  signed_at timestamptz not null default now()
);
select append_only('checkpoints');

-- Two signed headers for one position: evidence against a source.
create table equivocations (
  id bigint generated always as identity primary key,
  log_index bigint not null references batches,
  accepted text not null,
  refused text not null,
  refused_hash bytea not null,
  recorded_at timestamptz not null default now(),
  unique (log_index, refused_hash)
);
select append_only('equivocations');
