-- What the proof of one event is read by, so that it costs the same however long its batch is.

-- Nodes of the tree over a batch's events, as ledger/tree/batch-tree.ts describes them; empty where there are none, and in rows of
-- a version that kept none: then they are made again from event_leaves.
alter table batches add column event_nodes bytea storage external not null default '';
