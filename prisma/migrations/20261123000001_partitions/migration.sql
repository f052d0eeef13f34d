-- The ledger for 100 million certificates (docs/ledger.md): partitions a year, what may be deleted, what was archived.

-- How serials begin that are made on a day; LedgerKey.serialDay says the same (libs/core/src/ledger-key.ts).
CREATE FUNCTION serial_day(day date) RETURNS bytea LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN decode(lpad(to_hex(day - date '2020-01-01' + 256), 4, '0'), 'hex');

ALTER TABLE certificate RENAME TO certificate_before;
ALTER SEQUENCE certificate_id_seq OWNED BY NONE;
-- Its indexes go with it in the end; the names are wanted now.
ALTER TABLE certificate_before DROP CONSTRAINT certificate_pkey, DROP CONSTRAINT certificate_serial;
DROP INDEX "certificate_ecu_serial_id_idx", "certificate_not_after_idx", "certificate_ca_id_serial_key", "certificate_chunk_id_ordinal_key", certificate_of_servers;

CREATE TABLE "certificate" (
    "id" BIGINT NOT NULL DEFAULT nextval('certificate_id_seq'),
    "ca_id" INTEGER NOT NULL,
    "serial" BYTEA NOT NULL,
    "profile_version_id" INTEGER NOT NULL,
    "chunk_id" BIGINT,
    "ordinal" INTEGER NOT NULL,
    "intent_id" BIGINT,
    "ecu_serial" TEXT,
    "subject_name" TEXT,
    "spki_sha256" BYTEA NOT NULL,
    "not_before" TIMESTAMPTZ(3) NOT NULL,
    "not_after" TIMESTAMPTZ(3) NOT NULL,
    "issued_at" TIMESTAMPTZ(3) NOT NULL,
    "renewal_due_at" TIMESTAMPTZ(3),
    "der" BYTEA NOT NULL,

    -- I3: in every partition, and so in the whole.
    CONSTRAINT "certificate_pkey" PRIMARY KEY ("ca_id", "serial"),
    -- A serial is positive, minimal, at most 20 octets (I4; RFC 5280 section 4.1.2.2).
    CONSTRAINT certificate_serial CHECK (octet_length(serial) BETWEEN 1 AND 20)
) PARTITION BY RANGE ("serial");
ALTER SEQUENCE certificate_id_seq OWNED BY certificate.id;
ALTER TABLE certificate ALTER COLUMN der SET STORAGE EXTERNAL;

-- What is deleted of the ledger is expired, whoever deletes it. Validity counts the last second in (I7).
CREATE FUNCTION keep_unexpired() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF OLD.not_after >= clock_timestamp() - interval '1 second' THEN
    RAISE EXCEPTION '% refuses %: the certificate is valid until %', TG_TABLE_NAME, TG_OP, OLD.not_after USING ERRCODE = 'insufficient_privilege';
  END IF;
  RETURN OLD;
END
$$;
-- A later end may be put on record; an earlier one would be a way round.
CREATE FUNCTION keep_expiry() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.not_after < OLD.not_after THEN
    RAISE EXCEPTION '% refuses an earlier not_after', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
  END IF;
  RETURN NEW;
END
$$;
CREATE FUNCTION keep_all() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% refuses %', TG_TABLE_NAME, TG_OP USING ERRCODE = 'insufficient_privilege';
END
$$;
CREATE TRIGGER certificate_keep BEFORE DELETE ON certificate FOR EACH ROW EXECUTE FUNCTION keep_unexpired();
CREATE TRIGGER certificate_keep_expiry BEFORE UPDATE OF not_after ON certificate FOR EACH ROW EXECUTE FUNCTION keep_expiry();
CREATE TRIGGER certificate_no_truncate BEFORE TRUNCATE ON certificate FOR EACH STATEMENT EXECUTE FUNCTION keep_all();

-- One partition. What the parent's own definition does not hand down is made here.
CREATE FUNCTION add_certificate_partition(partition text, bounds text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('CREATE TABLE %I (LIKE certificate INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE)', partition);
  -- A unique index of the whole would have to hold the serial; an item has one certificate, and a chunk is issued in a day.
  EXECUTE format('CREATE UNIQUE INDEX %I ON %I (chunk_id, ordinal)', partition || '_item', partition);
  EXECUTE format('CREATE TRIGGER certificate_no_truncate BEFORE TRUNCATE ON %I FOR EACH STATEMENT EXECUTE FUNCTION keep_all()', partition);
  -- Attached, and not made in place: that would lock the whole table for all who read it.
  EXECUTE format('ALTER TABLE certificate ATTACH PARTITION %I %s', partition, bounds);
END
$$;

-- The partitions of the years `first` to `last` that are missing; how many were made. Called again and again by the
-- worker. A serial without one goes into the partition for all others: no insert fails. A year that has rows there
-- stays there.
CREATE FUNCTION add_certificate_partitions(first int, last int) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
  made int := 0;
  lower bytea;
  upper bytea;
BEGIN
  -- One at a time: "certific" in ASCII.
  PERFORM pg_advisory_xact_lock(x'6365727469666963'::bigint);
  FOR y IN greatest(first, 2020) .. least(last, 2064) LOOP
    lower := serial_day(make_date(y, 1, 1));
    -- Serials of form 1 begin at 0x40.
    upper := least(serial_day(make_date(y + 1, 1, 1)), '\x4000'::bytea);
    CONTINUE WHEN to_regclass('certificate_' || y) IS NOT NULL
      OR EXISTS (SELECT FROM certificate_other WHERE serial >= lower AND serial < upper);
    PERFORM add_certificate_partition('certificate_' || y, format('FOR VALUES FROM (%L) TO (%L)', lower, upper));
    made := made + 1;
  END LOOP;
  RETURN made;
END
$$;

-- Drops the empty partitions of years before `before`: their days never come again. How many.
CREATE FUNCTION drop_certificate_partitions(before int) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
  dropped int := 0;
  there boolean;
BEGIN
  PERFORM pg_advisory_xact_lock(x'6365727469666963'::bigint);
  FOR y IN 2020 .. least(before - 1, extract(year FROM now())::int - 1) LOOP
    CONTINUE WHEN to_regclass('certificate_' || y) IS NULL;
    EXECUTE format('SELECT EXISTS (SELECT FROM %I)', 'certificate_' || y) INTO there;
    CONTINUE WHEN there;
    EXECUTE format('DROP TABLE %I', 'certificate_' || y);
    dropped := dropped + 1;
  END LOOP;
  RETURN dropped;
END
$$;

SELECT add_certificate_partition('certificate_other', 'DEFAULT');
-- Serials of form 1, which were made until November 2026.
SELECT add_certificate_partition('certificate_form_1', $$FOR VALUES FROM ('\x4000') TO (MAXVALUE)$$);
-- From the year that serials begin with their day.
SELECT add_certificate_partitions(2026, greatest(2026, extract(year FROM now())::int) + 3);

INSERT INTO certificate (id, ca_id, serial, profile_version_id, chunk_id, ordinal, intent_id, ecu_serial, subject_name, spki_sha256,
  not_before, not_after, issued_at, renewal_due_at, der)
SELECT id, ca_id, serial, profile_version_id, chunk_id, ordinal, intent_id, ecu_serial, subject_name, spki_sha256,
  not_before, not_after, issued_at, renewal_due_at, der FROM certificate_before ORDER BY id;
DROP TABLE certificate_before;

-- Each of them costs every certificate; docs/ledger.md says what each is for.
CREATE INDEX "certificate_id_idx" ON "certificate" ("id");
CREATE INDEX certificate_ecu ON certificate (ecu_serial) WHERE ecu_serial IS NOT NULL;
-- What may become due: a certificate leaves it when it is marked.
CREATE INDEX certificate_to_renew ON certificate (not_after) WHERE renewal_due_at IS NULL AND ecu_serial IS NOT NULL;
CREATE INDEX certificate_expiry ON certificate USING brin (not_after timestamptz_minmax_multi_ops) WITH (pages_per_range = 64, autosummarize = on);
CREATE INDEX certificate_of_servers ON certificate (ca_id, profile_version_id, id) WHERE ecu_serial IS NULL;

-- Whether an entry has left the CRL for good: it was on one after its end, and the newest published one is without it (I12,
-- I15; CrlLedger.entries). Or its CA has expired, and nobody asks for its CRLs.
CREATE FUNCTION left_crl(of_ca int, ended timestamptz) RETURNS boolean LANGUAGE sql STABLE
RETURN coalesce((SELECT this_update FROM crl WHERE ca_id = of_ca AND published_at IS NOT NULL ORDER BY number DESC OFFSET 1 LIMIT 1) > ended, false)
  OR EXISTS (SELECT FROM ca WHERE id = of_ca AND not_after < now());

CREATE FUNCTION keep_revoked() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_TABLE_NAME = 'revocation' AND to_jsonb(OLD) ->> 'reason' = '6' THEN
    -- certificateHold: a hold may be released (I12).
    RETURN OLD;
  END IF;
  IF OLD.not_after >= clock_timestamp() - interval '1 second' OR NOT left_crl(OLD.ca_id, OLD.not_after) THEN
    RAISE EXCEPTION '% refuses %: the certificate is valid until %, and stays on a CRL after it', TG_TABLE_NAME, TG_OP, OLD.not_after
      USING ERRCODE = 'insufficient_privilege';
  END IF;
  RETURN OLD;
END
$$;
-- Ways round: an earlier end, another serial, a hold that is then released.
CREATE FUNCTION keep_revocation() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.not_after < OLD.not_after OR NEW.ca_id <> OLD.ca_id OR NEW.serial <> OLD.serial
    OR (TG_TABLE_NAME = 'revocation' AND to_jsonb(NEW) ->> 'reason' = '6' AND to_jsonb(OLD) ->> 'reason' <> '6') THEN
    RAISE EXCEPTION '% refuses this %', TG_TABLE_NAME, TG_OP USING ERRCODE = 'insufficient_privilege';
  END IF;
  RETURN NEW;
END
$$;
CREATE TRIGGER revocation_keep BEFORE DELETE ON revocation FOR EACH ROW EXECUTE FUNCTION keep_revoked();
CREATE TRIGGER revocation_keep_update BEFORE UPDATE ON revocation FOR EACH ROW EXECUTE FUNCTION keep_revocation();
CREATE TRIGGER revocation_no_truncate BEFORE TRUNCATE ON revocation FOR EACH STATEMENT EXECUTE FUNCTION keep_all();
CREATE TRIGGER burned_serial_keep BEFORE DELETE ON burned_serial FOR EACH ROW EXECUTE FUNCTION keep_revoked();
CREATE TRIGGER burned_serial_keep_update BEFORE UPDATE ON burned_serial FOR EACH ROW EXECUTE FUNCTION keep_revocation();
CREATE TRIGGER burned_serial_no_truncate BEFORE TRUNCATE ON burned_serial FOR EACH STATEMENT EXECUTE FUNCTION keep_all();

-- What was written to archive files and may be deleted, or is: libs/store/src/archive.
CREATE TABLE "archive" (
    "id" SERIAL NOT NULL,
    "file" TEXT NOT NULL,
    "sha256" BYTEA NOT NULL,
    "bytes" BIGINT NOT NULL,
    "counts" JSONB NOT NULL,
    "written_at" TIMESTAMPTZ(3) NOT NULL,
    "deleted_at" TIMESTAMPTZ(3),

    CONSTRAINT "archive_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "archive_file_key" ON "archive" ("file");
-- What is archived is found by the end of its intents, and where nothing was issued by these.
CREATE INDEX chunk_without_issue ON chunk (done_at) WHERE state = 'done' AND issued = 0;
CREATE INDEX "burned_serial_intent_id_idx" ON "burned_serial" ("intent_id");
