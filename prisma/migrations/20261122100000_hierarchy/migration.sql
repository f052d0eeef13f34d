-- Many hierarchies: CAs whose key is elsewhere, generations that follow one another, revoked CAs, what ceremonies signed.
-- The certificates of CAs that are on record already get their rows in ceremony_certificate from `migrate`
-- (libs/store/src/migrations/ceremony-certificates.ts): a serial is read from DER.

-- AlterTable
ALTER TABLE "ca" ALTER COLUMN "key_id" DROP NOT NULL,
ADD COLUMN "signature_algorithm" TEXT,
ADD COLUMN "labels" JSONB NOT NULL DEFAULT '{}',
ADD COLUMN "successor_id" INTEGER,
ADD COLUMN "switch_at" TIMESTAMPTZ(3),
ADD COLUMN "revoked_at" TIMESTAMPTZ(3),
ADD COLUMN "revocation_reason" INTEGER;

-- AlterTable
ALTER TABLE "principal" ADD COLUMN "authorities" TEXT[] DEFAULT ARRAY[]::TEXT[];

-- AlterTable
ALTER TABLE "batch" ADD COLUMN "purpose" TEXT NOT NULL DEFAULT 'line';

-- AlterTable
ALTER TABLE "intent" ADD COLUMN "untouched" INTEGER[] DEFAULT ARRAY[]::INTEGER[];

-- AlterTable
ALTER TABLE "heartbeat" ADD COLUMN "figures" JSONB NOT NULL DEFAULT '{}';

-- CreateTable
CREATE TABLE "ceremony_certificate" (
    "id" SERIAL NOT NULL,
    "kind" TEXT NOT NULL,
    "subject_id" INTEGER,
    "issuer_id" INTEGER,
    "serial" BYTEA NOT NULL,
    "der" BYTEA NOT NULL,
    "sha256" BYTEA NOT NULL,
    "not_before" TIMESTAMPTZ(3) NOT NULL,
    "not_after" TIMESTAMPTZ(3) NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "ceremony_certificate_pkey" PRIMARY KEY ("id")
);

-- CreateIndex
CREATE UNIQUE INDEX "ca_successor_id_key" ON "ca"("successor_id");

-- CreateIndex
CREATE UNIQUE INDEX "ceremony_certificate_sha256_key" ON "ceremony_certificate"("sha256");

-- CreateIndex
CREATE INDEX "ceremony_certificate_subject_id_idx" ON "ceremony_certificate"("subject_id");

-- CreateIndex
CREATE UNIQUE INDEX "ceremony_certificate_issuer_id_serial_key" ON "ceremony_certificate"("issuer_id", "serial");

-- CreateIndex
CREATE INDEX "intent_ca_id_not_after_idx" ON "intent"("ca_id", "not_after");

-- AddForeignKey
ALTER TABLE "ca" ADD CONSTRAINT "ca_successor_id_fkey" FOREIGN KEY ("successor_id") REFERENCES "ca"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "ceremony_certificate" ADD CONSTRAINT "ceremony_certificate_subject_id_fkey" FOREIGN KEY ("subject_id") REFERENCES "ca"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "ceremony_certificate" ADD CONSTRAINT "ceremony_certificate_issuer_id_fkey" FOREIGN KEY ("issuer_id") REFERENCES "ca"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- What Prisma's schema cannot say.

ALTER TABLE principal ADD CONSTRAINT principal_authorities CHECK (authorities IS NOT NULL);
ALTER TABLE intent ADD CONSTRAINT intent_untouched CHECK (untouched IS NOT NULL AND (state = 'abandoned' OR untouched = '{}'));
ALTER TABLE ca ADD CONSTRAINT ca_successor CHECK (successor_id <> id AND (successor_id IS NULL) = (switch_at IS NULL));
-- CRLReason, RFC 5280 section 5.3.1: 7 is not used; a CA is revoked for good, so no certificateHold (6) and no removeFromCRL (8).
ALTER TABLE ca ADD CONSTRAINT ca_revocation CHECK (
  (revoked_at IS NULL) = (revocation_reason IS NULL)
  AND (revocation_reason IS NULL OR revocation_reason BETWEEN 0 AND 5 OR revocation_reason BETWEEN 9 AND 10)
  AND (revoked_at IS NULL OR state IN ('retired', 'compromised')));
ALTER TABLE batch ADD CONSTRAINT batch_purpose CHECK (purpose IN ('line', 'renewal', 'ocsp', 'crl', 'administration'));
-- A cross-certificate without a subject is of another organisation's CA.
ALTER TABLE ceremony_certificate ADD CONSTRAINT ceremony_certificate_kind CHECK (
  CASE kind WHEN 'ca' THEN subject_id IS NOT NULL WHEN 'cross' THEN subject_id IS NOT NULL OR issuer_id IS NOT NULL
    WHEN 'ocsp-signer' THEN subject_id IS NULL AND issuer_id IS NOT NULL ELSE false END);
ALTER TABLE ceremony_certificate ADD CONSTRAINT ceremony_certificate_serial CHECK (octet_length(serial) BETWEEN 1 AND 20);
ALTER TABLE ceremony_certificate ALTER COLUMN der SET STORAGE EXTERNAL;

-- What the status app may read; called after each migration, as its role may be made later than the tables.
CREATE OR REPLACE FUNCTION grant_status_role() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'fleetroot_status') THEN
    GRANT USAGE ON SCHEMA public TO fleetroot_status;
    GRANT SELECT ON ca, ceremony_certificate, certificate, revocation, burned_serial, crl, profile_version, truststore, truststore_version
      TO fleetroot_status;
  END IF;
END
$$;
