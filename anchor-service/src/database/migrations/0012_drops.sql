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

-- As before, and while the packs of a drop are emptied, which have bodies until then.
create or replace function check_erasing(pack bigint) returns void language plpgsql set search_path = killick, pg_temp as $$
begin
  if exists (
    select from packs p join erased e on e.number >= p.first_event and e.number < p.first_event + p.n
    where p.first_event = pack and not exists (select from erasure_ends d where d.erasure = e.erasure))
  then return; end if;
  if exists (select from packs p join drops d on d.entries @> p.log_index where p.first_event = pack and p.body <> '')
  then return; end if;
  raise exception 'no erasure that is under way names an event of the pack at %, and no drop that is under way its batch', pack
    using errcode = 'restrict_violation';
end $$;

-- The last step for a pack: from then on it holds only where its events stood.
create function drop_pack(pack bigint) returns void
language plpgsql security definer set search_path = killick, pg_temp as $$
begin
  if not exists (select from packs p join drops d on d.entries @> p.log_index where p.first_event = pack) then
    raise exception 'no drop names the batch of the pack at %', pack using errcode = 'restrict_violation';
  end if;
  perform set_config('killick.erasing', 'on', true);
  update packs set ids = '', times = '', body = '', frame_ends = '{}' where first_event = pack;
  perform set_config('killick.erasing', '', true);
end $$;
