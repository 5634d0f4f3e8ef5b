-- A run of key_blocks that holds what shorter ones held takes their place: they are dropped in the transaction that adds it, so that
-- readers see either. The service's role may not delete; this it may.
create function drop_merged(of_scheme integer, of_level integer, from_event bigint, to_event bigint) returns void
language sql security definer set search_path = killick, pg_temp as $$
  delete from key_blocks where scheme = of_scheme and level < of_level and start >= from_event and start < to_event
    and exists (select from key_blocks where scheme = of_scheme and level = of_level and start = from_event)
$$;

-- Those that stood beside the longer one until now.
delete from key_blocks short where level = 0 and exists (
  select from key_blocks long where long.scheme = short.scheme and long.level = 1 and long.start = short.start - short.start % 262144);
