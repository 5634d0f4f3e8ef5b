-- A pack that can be read in part, so that to show one event costs the same however many its pack has.

-- Where each zstd frame of the body ends, in bytes from its beginning. Each but the last holds 32 events, so the frame of an event
-- follows from its place. Empty: the body is read as a whole, as in rows of a version that knew no frames within packs.
alter table packs add column frame_ends integer[] not null default '{}';
