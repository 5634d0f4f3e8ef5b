-- After how many days entries of the log are not published any more. Each is told by an event of the system stream, in the same
-- transaction; the newest that an anchor covers counts.
create table prunings (
  log_index bigint primary key,    -- of the event that says so
  after_days integer check (after_days > 0), -- null: all are published
  created_at timestamptz not null default now()
);
select append_only('prunings');
