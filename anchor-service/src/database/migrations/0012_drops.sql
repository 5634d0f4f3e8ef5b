-- Batches whose events a retention policy drops. Their rows stay, with headers and leaf hashes; what goes is what packs hold of their
-- events, and all keys but those of leaf hashes.
alter table retention_policies add column events_days integer check (events_days >= contents_days); -- null: events stay

-- Each drop is told by an event of the system stream, in the transaction that empties the packs.
create table drops (
  log_index bigint primary key,    -- of the event
  policy bigint not null references retention_policies,
  entries int8multirange not null, -- log indices of the batches
  events integer not null check (events > 0),
  created_at timestamptz not null default now()
);
create index on drops using gist (entries);
select append_only('drops');

-- The door for a drop. What a pack holds of its events goes, and its keys are those that are given: of the pack itself, and of leaf hashes. That
-- they are these, every audit checks. Runs may go on to name the pack for the keys that it had, until they are made again.
create function drop_pack(pack bigint, of_schemes integer[], new_keys bytea[], new_counts bytea) returns void
language plpgsql security definer set search_path = killick, pg_temp as $$
begin
  if not exists (select from packs p join drops d on d.entries @> p.log_index where p.first_event = pack) then
    raise exception 'no drop names the batch of the pack at %', pack using errcode = 'restrict_violation';
  end if;
  update pack_keys k set keys = made.keys, key_counts = new_counts
    from unnest(of_schemes, new_keys) as made (scheme, keys) where k.first_event = pack and k.scheme = made.scheme;
  perform set_config('killick.erasing', 'on', true);
  update packs set ids = '', times = '', body = '', frame_ends = '{}' where first_event = pack;
  perform set_config('killick.erasing', '', true);
end $$;
