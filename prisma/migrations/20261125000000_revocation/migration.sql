-- Revocation at fleet size: CRLs in scopes, deltas, filters, large revocations as jobs.

-- The scope of an entry: its certificate's shard as its CRL distribution point says, and how many shards there were at its
-- issuance; 1 and 0 where it points to the CRL of the whole CA.
ALTER TABLE "revocation"
  ADD COLUMN "shards" INTEGER NOT NULL DEFAULT 1,
  ADD COLUMN "shard" INTEGER NOT NULL DEFAULT 0,
  ADD COLUMN "changed_at" TIMESTAMPTZ(3) NOT NULL DEFAULT clock_timestamp(),
  ADD COLUMN "released_at" TIMESTAMPTZ(3);
ALTER TABLE "burned_serial"
  ADD COLUMN "shards" INTEGER NOT NULL DEFAULT 1,
  ADD COLUMN "shard" INTEGER NOT NULL DEFAULT 0;

-- As crlShard in libs/authority: the last four octets, modulo the number of shards.
CREATE FUNCTION crl_shard(serial bytea, shards int) RETURNS int LANGUAGE sql IMMUTABLE
RETURN CASE WHEN shards = 1 THEN 0 ELSE (('x' || encode(substring('\x00000000'::bytea || serial FROM octet_length(serial) + 1), 'hex'))::bit(32)::bigint % shards)::int END;

-- What is on record by now.
UPDATE revocation r SET shards = p.shards, shard = crl_shard(r.serial, p.shards)
FROM certificate c, (SELECT id, coalesce((document::jsonb ->> 'crlShards')::int, 1) AS shards FROM profile_version) AS p
WHERE c.ca_id = r.ca_id AND c.serial = r.serial AND p.id = c.profile_version_id AND p.shards > 1;
UPDATE burned_serial b SET shards = p.shards, shard = crl_shard(b.serial, p.shards)
FROM intent i, (SELECT id, coalesce((document::jsonb ->> 'crlShards')::int, 1) AS shards FROM profile_version) AS p
WHERE i.id = b.intent_id AND p.id = i.profile_version_id AND p.shards > 1;

ALTER TABLE revocation ADD CONSTRAINT revocation_shard CHECK (shards BETWEEN 1 AND 1000 AND shard BETWEEN 0 AND shards - 1);
ALTER TABLE burned_serial ADD CONSTRAINT burned_serial_shard CHECK (shards BETWEEN 1 AND 1000 AND shard BETWEEN 0 AND shards - 1);
-- Only a hold is ever released (I12).
ALTER TABLE revocation ADD CONSTRAINT revocation_released CHECK (released_at IS NULL OR reason = 6);

-- A scope is read in the order of its CRL; what changed since is found by its time.
CREATE INDEX "revocation_ca_id_shards_shard_serial_idx" ON "revocation" ("ca_id", "shards", "shard", "serial");
CREATE INDEX "revocation_ca_id_changed_at_idx" ON "revocation" ("ca_id", "changed_at");
CREATE INDEX "burned_serial_ca_id_shards_shard_serial_idx" ON "burned_serial" ("ca_id", "shards", "shard", "serial");
CREATE INDEX "burned_serial_ca_id_burned_at_idx" ON "burned_serial" ("ca_id", "burned_at");

-- The scope of a CRL: 'all' for the whole CA, or SHARDS/SHARD. A number of one scope is one full CRL and one delta at most;
-- a run that publishes several scopes gives them the same number.
ALTER TABLE "crl"
  ADD COLUMN "scope" TEXT NOT NULL DEFAULT 'all',
  ADD COLUMN "kind" TEXT NOT NULL DEFAULT 'full',
  ADD COLUMN "base_number" BIGINT,
  ADD COLUMN "octets" INTEGER,
  ADD COLUMN "sha256" BYTEA;
UPDATE crl SET octets = octet_length(der), sha256 = sha256(der) WHERE der IS NOT NULL;
ALTER TABLE crl ADD CONSTRAINT crl_scope CHECK (scope = 'all' OR scope ~ '^[1-9][0-9]{0,3}/(0|[1-9][0-9]{0,2})$');
ALTER TABLE crl ADD CONSTRAINT crl_kind CHECK (CASE kind WHEN 'full' THEN base_number IS NULL WHEN 'delta' THEN base_number <= number ELSE false END);
DROP INDEX "crl_ca_id_number_key";
CREATE UNIQUE INDEX "crl_ca_id_scope_kind_number_key" ON "crl" ("ca_id", "scope", "kind", "number");

-- An entry has left the CRLs for good where each scope that lists it had one after its end, and the newest is without it.
CREATE FUNCTION left_crl(of_ca int, of_shards int, of_shard int, ended timestamptz) RETURNS boolean LANGUAGE sql STABLE
RETURN EXISTS (SELECT FROM ca WHERE id = of_ca AND not_after < now()) OR NOT EXISTS (
  SELECT FROM unnest(CASE of_shards WHEN 1 THEN ARRAY['all'] ELSE ARRAY['all', of_shards || '/' || of_shard] END) AS of_scope
  WHERE NOT coalesce((SELECT this_update FROM crl WHERE ca_id = of_ca AND scope = of_scope AND kind = 'full' AND published_at IS NOT NULL
                      ORDER BY number DESC OFFSET 1 LIMIT 1) > ended, false));
CREATE OR REPLACE FUNCTION keep_revoked() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_TABLE_NAME = 'revocation' AND to_jsonb(OLD) ->> 'reason' = '6' AND to_jsonb(OLD) ->> 'released_at' IS NOT NULL THEN
    -- A hold that was released (I12): deltas have told of it, and a full CRL is without it.
    RETURN OLD;
  END IF;
  IF OLD.not_after >= clock_timestamp() - interval '1 second' OR NOT left_crl(OLD.ca_id, OLD.shards, OLD.shard, OLD.not_after) THEN
    RAISE EXCEPTION '% refuses %: the certificate is valid until %, and stays on a CRL after it', TG_TABLE_NAME, TG_OP, OLD.not_after
      USING ERRCODE = 'insufficient_privilege';
  END IF;
  RETURN OLD;
END
$$;
-- Each change is told of by its time: deltas and caches go by it.
CREATE OR REPLACE FUNCTION keep_revocation() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.not_after < OLD.not_after OR NEW.ca_id <> OLD.ca_id OR NEW.serial <> OLD.serial OR NEW.shards <> OLD.shards OR NEW.shard <> OLD.shard
    OR (TG_TABLE_NAME = 'revocation' AND to_jsonb(NEW) ->> 'reason' = '6' AND to_jsonb(OLD) ->> 'reason' <> '6') THEN
    RAISE EXCEPTION '% refuses this %', TG_TABLE_NAME, TG_OP USING ERRCODE = 'insufficient_privilege';
  END IF;
  IF TG_TABLE_NAME = 'revocation' THEN
    NEW.changed_at := clock_timestamp();
  END IF;
  RETURN NEW;
END
$$;

-- Who serves status hears of each change, whoever makes it: CA/SERIAL in hex, or CA/* of many. Lost while nobody listens, so
-- that he looks by changed_at as well.
CREATE FUNCTION tell_revoked() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF (SELECT count(*) FROM (SELECT FROM changed LIMIT 101) AS a_few) > 100 THEN
    PERFORM pg_notify('fleetroot_revoked', ca_id || '/*') FROM (SELECT DISTINCT ca_id FROM changed) AS cas;
  ELSE
    PERFORM pg_notify('fleetroot_revoked', ca_id || '/' || encode(serial, 'hex')) FROM changed;
  END IF;
  RETURN NULL;
END
$$;
CREATE TRIGGER revocation_told AFTER INSERT ON revocation REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION tell_revoked();
CREATE TRIGGER revocation_told_update AFTER UPDATE ON revocation REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION tell_revoked();

-- A revocation of more than a few: what it asks for, who approved it, how far it is. Its targets are fixed when it is made.
CREATE TABLE "revocation_job" (
    "id" UUID NOT NULL,
    "principal_id" INTEGER NOT NULL,
    "idempotency_key" TEXT,
    "reason" INTEGER NOT NULL,
    "invalidity_date" TIMESTAMPTZ(3),
    "query" TEXT NOT NULL,
    "query_sha256" BYTEA NOT NULL,
    "targets" INTEGER NOT NULL,
    "targets_sha256" BYTEA NOT NULL,
    "done" INTEGER NOT NULL DEFAULT 0,
    "changed" INTEGER NOT NULL DEFAULT 0,
    "approvals" INTEGER NOT NULL,
    "state" TEXT NOT NULL,
    "failure" TEXT,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT clock_timestamp(),
    "completed_at" TIMESTAMPTZ(3),

    CONSTRAINT "revocation_job_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "revocation_job_principal_id_idempotency_key_key" ON "revocation_job" ("principal_id", "idempotency_key");
CREATE INDEX revocation_job_open ON revocation_job (created_at) WHERE state IN ('waiting', 'running');
ALTER TABLE "revocation_job" ADD CONSTRAINT "revocation_job_principal_id_fkey" FOREIGN KEY ("principal_id") REFERENCES "principal"("id") ON DELETE RESTRICT ON UPDATE CASCADE;
-- waiting: for approvals.
ALTER TABLE revocation_job ADD CONSTRAINT revocation_job_state CHECK (state IN ('waiting', 'running', 'done', 'cancelled', 'failed'));
ALTER TABLE revocation_job ADD CONSTRAINT revocation_job_reason CHECK (reason BETWEEN 0 AND 10 AND reason <> 7);

CREATE TABLE "revocation_target" (
    "job_id" UUID NOT NULL,
    "place" INTEGER NOT NULL,
    "ca_id" INTEGER NOT NULL,
    "serial" BYTEA NOT NULL,
    "outcome" TEXT,

    CONSTRAINT "revocation_target_pkey" PRIMARY KEY ("job_id", "place")
);
ALTER TABLE "revocation_target" ADD CONSTRAINT "revocation_target_job_id_fkey" FOREIGN KEY ("job_id") REFERENCES "revocation_job"("id") ON DELETE CASCADE ON UPDATE CASCADE;

CREATE TABLE "revocation_approval" (
    "job_id" UUID NOT NULL,
    "principal_id" INTEGER NOT NULL,
    "targets_sha256" BYTEA NOT NULL,
    "approved_at" TIMESTAMPTZ(3) NOT NULL DEFAULT clock_timestamp(),

    CONSTRAINT "revocation_approval_pkey" PRIMARY KEY ("job_id", "principal_id")
);
ALTER TABLE "revocation_approval" ADD CONSTRAINT "revocation_approval_job_id_fkey" FOREIGN KEY ("job_id") REFERENCES "revocation_job"("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "revocation_approval" ADD CONSTRAINT "revocation_approval_principal_id_fkey" FOREIGN KEY ("principal_id") REFERENCES "principal"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- Filters of revoked certificates for vehicles, signed: a full one, or the change from an earlier version.
CREATE TABLE "revocation_filter" (
    "ca_id" INTEGER NOT NULL,
    "version" BIGINT NOT NULL,
    "base_version" BIGINT NOT NULL DEFAULT 0,
    "made_at" TIMESTAMPTZ(3) NOT NULL,
    "known" BIGINT NOT NULL,
    "revoked" BIGINT NOT NULL,
    "octets" INTEGER NOT NULL,
    "sha256" BYTEA NOT NULL,
    "content" BYTEA,

    CONSTRAINT "revocation_filter_pkey" PRIMARY KEY ("ca_id", "version", "base_version")
);
ALTER TABLE "revocation_filter" ADD CONSTRAINT "revocation_filter_ca_id_fkey" FOREIGN KEY ("ca_id") REFERENCES "ca"("id") ON DELETE RESTRICT ON UPDATE CASCADE;
ALTER TABLE revocation_filter ALTER COLUMN content SET STORAGE EXTERNAL;

-- Answers that the status app signed ahead. Its role may write nothing else, and nothing here is ever the only copy.
CREATE SCHEMA status_cache;
CREATE UNLOGGED TABLE status_cache.ocsp_answer (
    key BYTEA PRIMARY KEY,
    ca_id INTEGER NOT NULL,
    serial BYTEA NOT NULL,
    next_update TIMESTAMPTZ(3) NOT NULL,
    response BYTEA NOT NULL
);
CREATE INDEX ocsp_answer_serial ON status_cache.ocsp_answer (ca_id, serial);
CREATE INDEX ocsp_answer_end ON status_cache.ocsp_answer (next_update);

CREATE OR REPLACE FUNCTION grant_status_role() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'fleetroot_status') THEN
    GRANT USAGE ON SCHEMA public, status_cache TO fleetroot_status;
    GRANT SELECT ON ca, ceremony_certificate, certificate, revocation, burned_serial, crl, profile_version, truststore, truststore_version,
      revocation_filter TO fleetroot_status;
    GRANT SELECT, INSERT, UPDATE, DELETE ON status_cache.ocsp_answer TO fleetroot_status;
  END IF;
END
$$;

DROP FUNCTION left_crl(int, timestamptz);
