-- A single request does not go through the queue: an issuer takes it from the ledger as soon as it is told of it.
ALTER TABLE "chunk" ADD COLUMN "single" BOOLEAN NOT NULL DEFAULT false;
-- Those that were tried least go first: one that fails each time holds up no other.
CREATE INDEX chunk_single_open ON chunk (fence, id) WHERE single AND state <> 'done';
