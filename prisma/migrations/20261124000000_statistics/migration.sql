-- ANALYZE reads 300 rows for each unit of the largest statistics target of a table (100 by default), sorts every column of them,
-- and comes back whenever a tenth was added. The columns of what grows with each certificate are keys, hashes and numbers, nearly
-- all different, and searched by index whatever their statistics say: a tenth of the sample does.

-- `except_for`: columns that keep the default.
CREATE FUNCTION sample_sparsely(grown regclass, except_for name[] DEFAULT '{}') RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  columns text;
BEGIN
  SELECT string_agg(format('ALTER COLUMN %I SET STATISTICS 10', attname), ', ') INTO columns
  FROM pg_attribute WHERE attrelid = grown AND attnum > 0 AND NOT attisdropped AND attname <> ALL (except_for);
  EXECUTE format('ALTER TABLE %s %s', grown, columns);
END
$$;

CREATE OR REPLACE FUNCTION add_certificate_partition(partition text, bounds text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('CREATE TABLE %I (LIKE certificate INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE)', partition);
  PERFORM sample_sparsely(partition::regclass);
  -- A unique index of the whole would have to hold the serial; an item has one certificate, and a chunk is issued in a day.
  EXECUTE format('CREATE UNIQUE INDEX %I ON %I (chunk_id, ordinal)', partition || '_item', partition);
  EXECUTE format('CREATE TRIGGER certificate_no_truncate BEFORE TRUNCATE ON %I FOR EACH STATEMENT EXECUTE FUNCTION keep_all()', partition);
  -- Attached, and not made in place: that would lock the whole table for all who read it.
  EXECUTE format('ALTER TABLE certificate ATTACH PARTITION %I %s', partition, bounds);
END
$$;

-- The partitions that are there too.
SELECT sample_sparsely('certificate');
SELECT sample_sparsely('subject_key');
-- Most ECUs may have one part number, and few another.
SELECT sample_sparsely('ecu', '{part_number}');
