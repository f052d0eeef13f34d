-- What Prisma's schema cannot say: the audit chain, states and sums that must hold, partial indexes, storage, rights.

-- The audit chain (I26, I27). libs/audit/src/chain.ts defines the hash.
INSERT INTO audit_head (id, seq, hash) VALUES (1, 0, decode(repeat('00', 32), 'hex'));
ALTER TABLE audit_head ADD CONSTRAINT audit_head_single CHECK (id = 1);

-- Appends one event. The head's row is locked until the transaction ends, so a caller appends last.
CREATE FUNCTION audit_append(event_payload text, event_at timestamptz) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  head audit_head%ROWTYPE;
  next_seq bigint;
  next_hash bytea;
BEGIN
  SELECT * INTO STRICT head FROM audit_head WHERE id = 1 FOR UPDATE;
  next_seq := head.seq + 1;
  next_hash := sha256(head.hash || int8send(next_seq) || convert_to(event_payload, 'UTF8'));
  INSERT INTO audit_event (seq, at, payload, prev_hash, hash) VALUES (next_seq, event_at, event_payload, head.hash, next_hash);
  UPDATE audit_head SET seq = next_seq, hash = next_hash WHERE id = 1;
  RETURN next_seq;
END
$$;

CREATE FUNCTION audit_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'audit_event is append-only: % is refused', TG_OP USING ERRCODE = 'insufficient_privilege';
END
$$;
CREATE TRIGGER audit_event_append_only BEFORE UPDATE OR DELETE ON audit_event FOR EACH ROW EXECUTE FUNCTION audit_refuse_change();
CREATE TRIGGER audit_event_no_truncate BEFORE TRUNCATE ON audit_event FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse_change();

-- States, and the sums that must hold at every commit (I22).
ALTER TABLE ca ADD CONSTRAINT ca_state CHECK (state IN ('prepared', 'active', 'retiring', 'retired', 'compromised'));
ALTER TABLE batch ADD CONSTRAINT batch_state CHECK (state IN ('receiving', 'accepted', 'done'));
ALTER TABLE batch ADD CONSTRAINT batch_body CHECK (state = 'receiving' OR body_sha256 IS NOT NULL);
ALTER TABLE chunk ADD CONSTRAINT chunk_state CHECK (state IN ('pending', 'signing', 'done'));
ALTER TABLE chunk ADD CONSTRAINT chunk_sum CHECK (
  items > 0 AND issued >= 0 AND failed >= 0 AND issued + failed <= items
  AND (state <> 'done' OR (issued + failed = items AND sealed IS NULL))
  AND (state = 'done' OR (issued = 0 AND sealed IS NOT NULL)));
ALTER TABLE intent ADD CONSTRAINT intent_state CHECK (state IN ('open', 'stored', 'abandoned'));
ALTER TABLE registration ADD CONSTRAINT registration_outcome CHECK (outcome IN ('registered', 'known', 'refused'));
ALTER TABLE registration ADD CONSTRAINT registration_code CHECK ((outcome = 'refused') = (code IS NOT NULL));
-- A serial is positive, minimal, at most 20 octets (I4; RFC 5280 section 4.1.2.2).
ALTER TABLE certificate ADD CONSTRAINT certificate_serial CHECK (octet_length(serial) BETWEEN 1 AND 20);
-- CRLReason, RFC 5280 section 5.3.1: 7 is not used.
ALTER TABLE revocation ADD CONSTRAINT revocation_reason CHECK (reason BETWEEN 0 AND 10 AND reason <> 7);
-- A date that no CRL can carry would stop every CRL of the CA.
ALTER TABLE revocation ADD CONSTRAINT revocation_invalidity CHECK (
  invalidity_date BETWEEN '1970-01-01T00:00:00Z' AND '9999-12-31T23:59:59Z');

-- Few chunks are open at a time: finding them must not cost more as the ledger grows.
CREATE INDEX chunk_open ON chunk (batch_id, id) WHERE state <> 'done';
CREATE INDEX chunk_oldest_open ON chunk (id) WHERE state <> 'done';
-- By id: appending changes when the sender was last heard, and must not change an index.
CREATE INDEX batch_receiving ON batch (id) WHERE state = 'receiving';
-- Likewise open intents, and what is not an ECU's (servers, OCSP signers).
CREATE INDEX intent_open ON intent (chunk_id) WHERE state = 'open';
CREATE INDEX certificate_of_servers ON certificate (ca_id, profile_version_id, id) WHERE ecu_serial IS NULL;

-- Ciphertext and DER do not compress: do not try.
ALTER TABLE certificate ALTER COLUMN der SET STORAGE EXTERNAL;
ALTER TABLE chunk ALTER COLUMN sealed SET STORAGE EXTERNAL;
ALTER TABLE crl ALTER COLUMN der SET STORAGE EXTERNAL;
ALTER TABLE vehicle ALTER COLUMN vin_sealed SET STORAGE EXTERNAL;
-- Updated all the time, few rows: room in the page keeps the updates off the indexes.
ALTER TABLE audit_head SET (fillfactor = 10);
ALTER TABLE ca SET (fillfactor = 50);
ALTER TABLE chunk SET (fillfactor = 70);

-- What the status app may read; called after each migration, as its role may be made later than the tables.
CREATE FUNCTION grant_status_role() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'fleetroot_status') THEN
    GRANT USAGE ON SCHEMA public TO fleetroot_status;
    GRANT SELECT ON ca, certificate, revocation, burned_serial, crl, profile_version, truststore, truststore_version TO fleetroot_status;
  END IF;
END
$$;
