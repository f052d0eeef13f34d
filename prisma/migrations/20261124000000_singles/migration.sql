-- A single request does not go through the queue: an issuer takes it from the ledger as soon as it is told of it.
ALTER TABLE "chunk" ADD COLUMN "single" BOOLEAN NOT NULL DEFAULT false;
-- Those that were tried least go first: one that fails each time holds up no other.
CREATE INDEX chunk_single_open ON chunk (fence, id) WHERE single AND state <> 'done';

-- What must have found its row, or nothing of the transaction counts: who sends statements without waiting for the answers
-- of those before is stopped by it. The store knows the code.
CREATE FUNCTION require_row(row_count bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF row_count = 0 THEN
    RAISE EXCEPTION 'the chunk or its intent is in other hands' USING ERRCODE = 'FR001';
  END IF;
END
$$;
