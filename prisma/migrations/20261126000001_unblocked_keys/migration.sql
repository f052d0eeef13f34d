-- Storing certificates goes to PostgreSQL in one trip, COMMIT and all. Where one of their keys was blocked since the intent, it
-- fails by this, and the storing transaction is begun again in steps.
CREATE FUNCTION require_unblocked(keys bytea[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM subject_key WHERE spki_sha256 = ANY(keys) AND blocked) THEN
    RAISE EXCEPTION 'a key was blocked after the intent' USING ERRCODE = 'FR002';
  END IF;
END
$$;
