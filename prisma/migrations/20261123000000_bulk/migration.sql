-- Bulk issuance: batches that are sent in parts, cancelled, sent again in part; turns between lines; serials that begin
-- with their day; keys that are made here; the runs of fsck.

-- Intents from before have serials of form 1 (libs/core/src/ledger-key.ts).
ALTER TABLE "intent" ADD COLUMN "serial_form" SMALLINT NOT NULL DEFAULT 1;
ALTER TABLE "intent" ALTER COLUMN "serial_form" SET DEFAULT 2;

ALTER TABLE "batch" ADD COLUMN "in_parts" BOOLEAN NOT NULL DEFAULT false,
ADD COLUMN "resend_of" UUID,
ADD COLUMN "cancelled_at" TIMESTAMPTZ(3);

ALTER TABLE "chunk" ADD COLUMN "turn" INTEGER NOT NULL DEFAULT 0,
ADD COLUMN "refusal" TEXT;

CREATE TABLE "made_key" (
    "batch_id" UUID NOT NULL,
    "ordinal" INTEGER NOT NULL,
    "kind" TEXT NOT NULL,
    "envelope" BYTEA,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "expires_at" TIMESTAMPTZ(3) NOT NULL,
    "delivered_at" TIMESTAMPTZ(3),
    "deleted_at" TIMESTAMPTZ(3),

    CONSTRAINT "made_key_pkey" PRIMARY KEY ("batch_id", "ordinal")
);
ALTER TABLE "made_key" ADD CONSTRAINT "made_key_batch_id_fkey" FOREIGN KEY ("batch_id") REFERENCES "batch"("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE made_key ADD CONSTRAINT made_key_kind CHECK (kind IN ('cms', 'pkcs12'));
ALTER TABLE made_key ADD CONSTRAINT made_key_gone CHECK ((deleted_at IS NULL) = (envelope IS NOT NULL));
ALTER TABLE made_key ALTER COLUMN envelope SET STORAGE EXTERNAL;
CREATE INDEX made_key_held ON made_key (expires_at) WHERE deleted_at IS NULL;

CREATE TABLE "inspection" (
    "id" BIGSERIAL NOT NULL,
    "began_at" TIMESTAMPTZ(3) NOT NULL,
    "ended_at" TIMESTAMPTZ(3) NOT NULL,
    "breaches" INTEGER NOT NULL,
    "report" JSONB NOT NULL,

    CONSTRAINT "inspection_pkey" PRIMARY KEY ("id")
);
