-- Erasures: fields of events that the ledger forgets, by an order in its own stream. The log stays as it is; what goes is the
-- disclosures in packs, and the keys that they were found by.

-- The orders. Each is told by an event of the system stream, in the same transaction; this is where it is found.
create table erasures (
  log_index bigint primary key,    -- of the event that orders it
  id uuid not null unique,
  count integer not null check (count > 0),
  root bytea not null check (length(root) = 32),
  created_at timestamptz not null default now()
);
select append_only('erasures');

-- What each takes of which event, in the order of the log: `root` of the erasure is the tree over these.
create table erased (
  erasure bigint not null references erasures,
  pos integer not null check (pos >= 0),
  number bigint not null check (number >= 0), -- of the event in the log
  leaf_hash bytea not null check (length(leaf_hash) = 32),
  digests bytea not null check (length(digests) > 0 and length(digests) % 32 = 0), -- sorted by their text
  primary key (erasure, pos)
);
create index on erased (leaf_hash);
create index on erased (number);
select append_only('erased');

-- Erasures that were carried out. Each is told by an event too.
create table erasure_ends (
  log_index bigint primary key,    -- of the event that says so
  erasure bigint not null unique references erasures
);
select append_only('erasure_ends');

-- Holds: what must be kept as it is, whoever orders it to be erased. Each is told by an event, and its end by another.
create table holds (
  log_index bigint primary key,
  id uuid not null unique,
  covers jsonb not null,           -- what of the events, as in the event: members of a search; {}: all
  created_at timestamptz not null default now()
);
select append_only('holds');

create table hold_ends (
  log_index bigint primary key,
  hold uuid not null unique references holds (id),
  ended_at timestamptz not null default now()
);
select append_only('hold_ends');

-- The one door through which a pack is replaced: only its body, and only while an erasure that names one of its events is under
-- way. That the new body has the same leaves and lacks no disclosure but those that were named is what every audit checks, since
-- PostgreSQL cannot read the compressed body. The owner could pass the trigger by the setting too, as the owner could drop it.
create or replace function refuse_change() returns trigger language plpgsql as $$
begin
  if tg_op = 'UPDATE' and tg_table_name ~ '^packs(_\d+)?$' and current_setting('killick.erasing', true) = 'on' then return null; end if;
  raise exception 'the ledger is append-only: % on % is refused', tg_op, tg_table_name using errcode = 'restrict_violation';
end $$;

create function check_erasing(pack bigint) returns void language plpgsql set search_path = killick, pg_temp as $$
begin
  if not exists (
    select from packs p join erased e on e.number >= p.first_event and e.number < p.first_event + p.n
    where p.first_event = pack and not exists (select from erasure_ends d where d.erasure = e.erasure))
  then
    raise exception 'no erasure that is under way names an event of the pack at %', pack using errcode = 'restrict_violation';
  end if;
end $$;

create function erase_pack(pack bigint, new_body bytea, new_ends integer[]) returns void
language plpgsql security definer set search_path = killick, pg_temp as $$
begin
  perform check_erasing(pack);
  perform set_config('killick.erasing', 'on', true);
  update packs set body = new_body, frame_ends = new_ends where first_event = pack;
  perform set_config('killick.erasing', '', true);
end $$;

create function erase_keys(pack bigint, of_scheme integer, new_keys bytea, new_counts bytea) returns void
language plpgsql security definer set search_path = killick, pg_temp as $$
begin
  perform check_erasing(pack);
  update pack_keys set keys = new_keys, key_counts = new_counts where first_event = pack and scheme = of_scheme;
end $$;

-- Takes entries out of the blocks of a run. A block that has none left goes, but for a run's first, which says that there is a run.
create function erase_entries(pack bigint, of_scheme integer, of_level integer, of_start bigint, gone bigint[]) returns void
language plpgsql security definer set search_path = killick, pg_temp as $$
declare
  entry bigint;
  block record;
  at integer;
  rest bytea;
begin
  perform check_erasing(pack);
  foreach entry in array gone loop
    select first, entries into block from key_blocks
      where scheme = of_scheme and level = of_level and start = of_start and first <= entry order by first desc limit 1;
    if not found then continue; end if;
    at := 0;
    for i in 0 .. length(block.entries) / 8 - 1 loop
      if substr(block.entries, 8 * i + 1, 8) = int8send(entry) then at := 8 * i + 1; exit; end if;
    end loop;
    if at = 0 then continue; end if;
    rest := substr(block.entries, 1, at - 1) || substr(block.entries, at + 8);
    if length(rest) = 0 and block.first <> -9223372036854775808 then
      delete from key_blocks where scheme = of_scheme and level = of_level and start = of_start and first = block.first;
    else
      update key_blocks set entries = rest,
          first = case when block.first = -9223372036854775808 or at > 1 then first
            else ('x' || encode(substr(rest, 1, 8), 'hex'))::bit(64)::bigint end
        where scheme = of_scheme and level = of_level and start = of_start and first = block.first;
    end if;
  end loop;
end $$;
