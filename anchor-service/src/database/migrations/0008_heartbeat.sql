-- What a source promises of its streams.

-- In each stream that has not ended, an event is recorded at least this often. Seconds; null: no promise.
alter table sources add column heartbeat bigint;
