-- How large revocations go, and which certificates of a supplier they may be about.
ALTER TABLE "revocation_job"
  ADD COLUMN "begun_at" TIMESTAMPTZ(3),
  -- How many targets came out how, by outcome.
  ADD COLUMN "outcomes" JSONB NOT NULL DEFAULT '{}';

-- Of ECUs that registered themselves: the others have no supplier on record.
CREATE INDEX ecu_supplier ON ecu (supplier_id) WHERE supplier_id IS NOT NULL;

-- What was approved is what is revoked: targets are fixed when the job is made, and only their outcome comes later.
CREATE FUNCTION keep_revocation_target() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.job_id <> OLD.job_id OR NEW.place <> OLD.place OR NEW.ca_id <> OLD.ca_id OR NEW.serial <> OLD.serial OR OLD.outcome IS NOT NULL THEN
    RAISE EXCEPTION 'revocation_target refuses this UPDATE' USING ERRCODE = 'insufficient_privilege';
  END IF;
  RETURN NEW;
END
$$;
CREATE TRIGGER revocation_target_keep BEFORE UPDATE ON revocation_target FOR EACH ROW EXECUTE FUNCTION keep_revocation_target();
