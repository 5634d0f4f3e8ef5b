-- ANALYZE keeps samples of what it reads, outside of the tables: an erasure does not reach them, nor does a vacuum. Partitions have none
-- of these columns' (extend_partitions); whoever runs ANALYZE has their table as a whole sampled too.
alter table packs alter ids set statistics 0, alter times set statistics 0, alter body set statistics 0;
alter table pack_keys alter keys set statistics 0, alter key_counts set statistics 0;
alter table key_blocks alter entries set statistics 0;
