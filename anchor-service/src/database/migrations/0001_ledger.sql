-- The ledger. Everything is insert-only: a change is a new row, and the newest row counts. Only what can be made again from other
-- rows, pack_keys and key_blocks, may be replaced, by the owner of the schema.
--
-- This file is frozen. A change of the schema is a migration of its own: a database remembers the file that it was made by, and no
-- version with another one opens it.

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
  vkey text not null               -- C2SP verifier key of the log, with which every checkpoint is signed
);
select append_only('ledger');

-- What the registrations in the system stream say of sources, one row for each, and one for each key that it names. These tables
-- are a cache, and a list of where to look: whatever is read here is held against the signed events themselves.
create table sources (
  log_index bigint primary key check (log_index >= 0), -- of the registration
  source text not null,
  event_signatures text not null check (event_signatures in ('required', 'optional')),
  decoys boolean not null,
  max_age bigint,                  -- seconds; null: without bound
  max_ahead bigint
);
create index on sources (source, log_index desc);
select append_only('sources');

create table source_keys (
  log_index bigint not null references sources,
  source text not null,
  kid text not null,
  jwk jsonb not null,
  not_before timestamptz,
  not_after timestamptz,
  primary key (log_index, kid)
);
create index on source_keys (source, kid, log_index desc);
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
  event_leaves bytea storage external not null,
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

-- Events as they are stored: packs of consecutive events of one batch, compressed together. So an event costs a fraction of what a
-- row with an entry in each of several indexes costs (measured: a fifth), and a third of the disk. Events of the log are numbered from 0, in order; a pack bears the number of its first. No foreign key to batches: one
-- transaction writes both, and nothing is ever deleted.
create table packs (
  first_event bigint primary key check (first_event >= 0),
  log_index bigint not null,
  pos integer not null check (pos >= 0),       -- place of its first event in the batch
  n integer not null check (n > 0),
  -- None of these gets smaller by compressing it (again).
  ids bytea storage external not null,         -- of its events, 16 bytes each
  times bytea storage external not null,       -- when they were recorded, ms since 1970, 6 bytes each
  body bytea storage external not null         -- zstd: a line for each event; before the first of a batch, its header
) partition by range (first_event);
select append_only('packs');

-- What packs are found by, as a scheme makes it (ledger/packs/filters.ts). It is written with the pack, by the newest scheme then;
-- rows of a newer one are added behind the commits. None of it is the log: `reindex` makes all of it again from the packs. No
-- foreign key to packs: one transaction writes both.
create table pack_keys (
  first_event bigint not null check (first_event >= 0),
  scheme smallint not null check (scheme > 0),
  keys bytea storage external not null,        -- those of the pack itself, then those of each event, 8 bytes each
  key_counts bytea storage external not null,  -- how many keys each event has, 2 bytes each
  primary key (first_event, scheme)
) partition by range (first_event);

-- In which packs keys are: the index of pack_keys, in sorted runs as ledger/index/runs.ts describes them. PostgreSQL's own for such
-- columns (GIN) costs the commit too much, docs/decisions/0004-keys-in-sorted-runs.md. Runs are written behind the commits and can
-- be made again from pack_keys at any time.
create table key_blocks (
  scheme smallint not null,        -- of the rows of pack_keys that it is made of
  level smallint not null,
  start bigint not null,           -- number of the run's first event
  first bigint not null,           -- its first entry; of a run's first block, less than any entry
  entries bytea storage plain not null check (length(entries) % 8 = 0),
  primary key (scheme, level, start, first)
) partition by range (start);

-- Makes sure that events up to a number have their partition, and what they are found by too: 4,194,304 events to each, so that vacuum,
-- retention and the depth of an index stay what they are however long the log grows. Attaching, unlike creating in place, keeps
-- nobody from reading. The service's role may not create tables; this it may.
create function extend_partitions(upto bigint) returns void language plpgsql security definer set search_path = killick, pg_temp as $$
declare
  width constant bigint := 4194304;
  first constant bigint := upto / width * width;
  packs_n constant text := 'packs_' || upto / width;
  pack_keys_n constant text := 'pack_keys_' || upto / width;
  key_blocks_n constant text := 'key_blocks_' || upto / width;
begin
  if to_regclass(packs_n) is not null then return; end if;
  execute format('create table %I (like packs including all)', packs_n);
  execute format('create table %I (like pack_keys including all)', pack_keys_n);
  execute format('create table %I (like key_blocks including all)', key_blocks_n);
  -- Nothing is planned by these, and to read enough of them for statistics takes seconds.
  execute format('alter table %I alter ids set statistics 0, alter times set statistics 0, alter body set statistics 0', packs_n);
  execute format('alter table %I alter keys set statistics 0, alter key_counts set statistics 0', pack_keys_n);
  execute format('alter table %I alter entries set statistics 0', key_blocks_n);
  execute format('alter table packs attach partition %I for values from (%s) to (%s)', packs_n, first, first + width);
  execute format('alter table pack_keys attach partition %I for values from (%s) to (%s)', pack_keys_n, first, first + width);
  execute format('alter table key_blocks attach partition %I for values from (%s) to (%s)', key_blocks_n, first, first + width);
  perform append_only(packs_n::regclass);
end $$;
select extend_partitions(0);

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

-- Two signed headers for one position: evidence against a source. Each is told by an event of the system stream, in the same
-- transaction; this is where it is found.
create table equivocations (
  log_index bigint primary key,    -- of the event that tells of it
  batch bigint not null references batches, -- log index of the accepted header
  refused text not null,           -- the other header
  refused_hash bytea not null,
  recorded_at timestamptz not null default now(),
  unique (batch, refused_hash)
);
select append_only('equivocations');
