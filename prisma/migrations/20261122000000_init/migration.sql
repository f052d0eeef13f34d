-- CreateSchema
CREATE SCHEMA IF NOT EXISTS "public";

-- CreateTable
CREATE TABLE "ca" (
    "id" SERIAL NOT NULL,
    "name" TEXT NOT NULL,
    "parent_id" INTEGER,
    "state" TEXT NOT NULL DEFAULT 'active',
    "certificate" BYTEA NOT NULL,
    "spki_sha256" BYTEA NOT NULL,
    "key_id" BYTEA NOT NULL,
    "not_before" TIMESTAMPTZ(3) NOT NULL,
    "not_after" TIMESTAMPTZ(3) NOT NULL,
    "crl_number" BIGINT NOT NULL DEFAULT 0,
    "last_signed_at" TIMESTAMPTZ(3),
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "ca_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "profile_version" (
    "id" SERIAL NOT NULL,
    "name" TEXT NOT NULL,
    "sha256" BYTEA NOT NULL,
    "document" TEXT NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "profile_version_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "principal" (
    "id" SERIAL NOT NULL,
    "name" TEXT NOT NULL,
    "roles" TEXT[],
    "token_sha256" BYTEA NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "expires_at" TIMESTAMPTZ(3),
    "disabled_at" TIMESTAMPTZ(3),

    CONSTRAINT "principal_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "vehicle" (
    "id" BIGSERIAL NOT NULL,
    "vin_index" BYTEA NOT NULL,
    "vin_sealed" BYTEA NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "vehicle_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "ecu" (
    "serial" TEXT NOT NULL,
    "part_number" TEXT NOT NULL,
    "vehicle_id" BIGINT,
    "supplier_id" INTEGER,
    "factory_key_sha256" BYTEA,
    "registered_at" TIMESTAMPTZ(3),
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "ecu_pkey" PRIMARY KEY ("serial")
);

-- CreateTable
CREATE TABLE "subject_key" (
    "spki_sha256" BYTEA NOT NULL,
    "owner" TEXT NOT NULL,
    "blocked" BOOLEAN NOT NULL DEFAULT false,

    CONSTRAINT "subject_key_pkey" PRIMARY KEY ("spki_sha256")
);

-- CreateTable
CREATE TABLE "batch" (
    "id" UUID NOT NULL,
    "principal_id" INTEGER NOT NULL,
    "idempotency_key" TEXT,
    "body_sha256" BYTEA,
    "ca_id" INTEGER NOT NULL,
    "profile_version_id" INTEGER NOT NULL,
    "priority" INTEGER NOT NULL DEFAULT 10,
    "state" TEXT NOT NULL,
    "items" INTEGER NOT NULL DEFAULT 0,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "received_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "accepted_at" TIMESTAMPTZ(3),
    "completed_at" TIMESTAMPTZ(3),

    CONSTRAINT "batch_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "chunk" (
    "id" BIGSERIAL NOT NULL,
    "batch_id" UUID NOT NULL,
    "first" INTEGER NOT NULL,
    "items" INTEGER NOT NULL,
    "state" TEXT NOT NULL DEFAULT 'pending',
    "fence" INTEGER NOT NULL DEFAULT 0,
    "claimed_at" TIMESTAMPTZ(3),
    "sealed" BYTEA,
    "issued" INTEGER NOT NULL DEFAULT 0,
    "failed" INTEGER NOT NULL DEFAULT 0,
    "done_at" TIMESTAMPTZ(3),

    CONSTRAINT "chunk_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "intent" (
    "id" BIGSERIAL NOT NULL,
    "chunk_id" BIGINT NOT NULL,
    "fence" INTEGER NOT NULL,
    "ca_id" INTEGER NOT NULL,
    "profile_version_id" INTEGER NOT NULL,
    "seed" BYTEA NOT NULL,
    "signed_at" TIMESTAMPTZ(3) NOT NULL,
    "not_after" TIMESTAMPTZ(3) NOT NULL,
    "first" INTEGER NOT NULL,
    "items" INTEGER NOT NULL,
    "state" TEXT NOT NULL DEFAULT 'open',

    CONSTRAINT "intent_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "burned_serial" (
    "ca_id" INTEGER NOT NULL,
    "serial" BYTEA NOT NULL,
    "intent_id" BIGINT NOT NULL,
    "not_after" TIMESTAMPTZ(3) NOT NULL,
    "burned_at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "burned_serial_pkey" PRIMARY KEY ("ca_id","serial")
);

-- CreateTable
CREATE TABLE "certificate" (
    "id" BIGSERIAL NOT NULL,
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

    CONSTRAINT "certificate_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "failure" (
    "chunk_id" BIGINT NOT NULL,
    "ordinal" INTEGER NOT NULL,
    "code" TEXT NOT NULL,
    "detail" TEXT NOT NULL,

    CONSTRAINT "failure_pkey" PRIMARY KEY ("chunk_id","ordinal")
);

-- CreateTable
CREATE TABLE "revocation" (
    "ca_id" INTEGER NOT NULL,
    "serial" BYTEA NOT NULL,
    "reason" INTEGER NOT NULL,
    "revoked_at" TIMESTAMPTZ(3) NOT NULL,
    "invalidity_date" TIMESTAMPTZ(3),
    "not_after" TIMESTAMPTZ(3) NOT NULL,
    "principal_id" INTEGER NOT NULL,

    CONSTRAINT "revocation_pkey" PRIMARY KEY ("ca_id","serial")
);

-- CreateTable
CREATE TABLE "crl" (
    "id" BIGSERIAL NOT NULL,
    "ca_id" INTEGER NOT NULL,
    "number" BIGINT NOT NULL,
    "this_update" TIMESTAMPTZ(3) NOT NULL,
    "next_update" TIMESTAMPTZ(3) NOT NULL,
    "entries" INTEGER,
    "der" BYTEA,
    "published_at" TIMESTAMPTZ(3),

    CONSTRAINT "crl_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "truststore" (
    "name" TEXT NOT NULL,
    "description" TEXT NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "truststore_pkey" PRIMARY KEY ("name")
);

-- CreateTable
CREATE TABLE "truststore_version" (
    "truststore" TEXT NOT NULL,
    "version" INTEGER NOT NULL,
    "ca_ids" INTEGER[],
    "sha256" BYTEA NOT NULL,
    "pem" TEXT NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "truststore_version_pkey" PRIMARY KEY ("truststore","version")
);

-- CreateTable
CREATE TABLE "supplier" (
    "id" SERIAL NOT NULL,
    "name" TEXT NOT NULL,
    "certificate" BYTEA NOT NULL,
    "spki_sha256" BYTEA NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "disabled_at" TIMESTAMPTZ(3),

    CONSTRAINT "supplier_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "registration" (
    "id" BIGSERIAL NOT NULL,
    "at" TIMESTAMPTZ(3) NOT NULL,
    "outcome" TEXT NOT NULL,
    "code" TEXT,
    "detail" TEXT,
    "supplier_id" INTEGER,
    "ecu_serial" TEXT,
    "certificate_sha256" BYTEA,

    CONSTRAINT "registration_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "audit_event" (
    "seq" BIGINT NOT NULL,
    "at" TIMESTAMPTZ(3) NOT NULL,
    "payload" TEXT NOT NULL,
    "prev_hash" BYTEA NOT NULL,
    "hash" BYTEA NOT NULL,

    CONSTRAINT "audit_event_pkey" PRIMARY KEY ("seq")
);

-- CreateTable
CREATE TABLE "audit_head" (
    "id" INTEGER NOT NULL DEFAULT 1,
    "seq" BIGINT NOT NULL,
    "hash" BYTEA NOT NULL,

    CONSTRAINT "audit_head_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "outbox" (
    "id" BIGSERIAL NOT NULL,
    "job" TEXT NOT NULL,
    "payload" JSONB NOT NULL,
    "priority" INTEGER NOT NULL DEFAULT 10,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "outbox_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "lease" (
    "name" TEXT NOT NULL,
    "holder" TEXT NOT NULL,
    "until" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "lease_pkey" PRIMARY KEY ("name")
);

-- CreateTable
CREATE TABLE "heartbeat" (
    "instance" TEXT NOT NULL,
    "role" TEXT NOT NULL,
    "at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "heartbeat_pkey" PRIMARY KEY ("instance")
);

-- CreateIndex
CREATE UNIQUE INDEX "ca_name_key" ON "ca"("name");

-- CreateIndex
CREATE UNIQUE INDEX "ca_spki_sha256_key" ON "ca"("spki_sha256");

-- CreateIndex
CREATE UNIQUE INDEX "profile_version_sha256_key" ON "profile_version"("sha256");

-- CreateIndex
CREATE INDEX "profile_version_name_id_idx" ON "profile_version"("name", "id");

-- CreateIndex
CREATE UNIQUE INDEX "principal_name_key" ON "principal"("name");

-- CreateIndex
CREATE UNIQUE INDEX "principal_token_sha256_key" ON "principal"("token_sha256");

-- CreateIndex
CREATE UNIQUE INDEX "vehicle_vin_index_key" ON "vehicle"("vin_index");

-- CreateIndex
CREATE INDEX "ecu_vehicle_id_idx" ON "ecu"("vehicle_id");

-- CreateIndex
CREATE INDEX "ecu_part_number_idx" ON "ecu"("part_number");

-- CreateIndex
CREATE UNIQUE INDEX "batch_principal_id_idempotency_key_key" ON "batch"("principal_id", "idempotency_key");

-- CreateIndex
CREATE UNIQUE INDEX "chunk_batch_id_first_key" ON "chunk"("batch_id", "first");

-- CreateIndex
CREATE UNIQUE INDEX "intent_chunk_id_fence_key" ON "intent"("chunk_id", "fence");

-- CreateIndex
CREATE INDEX "certificate_ecu_serial_id_idx" ON "certificate"("ecu_serial", "id");

-- CreateIndex
CREATE INDEX "certificate_not_after_idx" ON "certificate"("not_after");

-- CreateIndex
CREATE UNIQUE INDEX "certificate_ca_id_serial_key" ON "certificate"("ca_id", "serial");

-- CreateIndex
CREATE UNIQUE INDEX "certificate_chunk_id_ordinal_key" ON "certificate"("chunk_id", "ordinal");

-- CreateIndex
CREATE INDEX "revocation_ca_id_not_after_idx" ON "revocation"("ca_id", "not_after");

-- CreateIndex
CREATE UNIQUE INDEX "crl_ca_id_number_key" ON "crl"("ca_id", "number");

-- CreateIndex
CREATE UNIQUE INDEX "supplier_name_key" ON "supplier"("name");

-- CreateIndex
CREATE UNIQUE INDEX "supplier_spki_sha256_key" ON "supplier"("spki_sha256");

-- CreateIndex
CREATE INDEX "registration_at_idx" ON "registration"("at");

-- AddForeignKey
ALTER TABLE "ca" ADD CONSTRAINT "ca_parent_id_fkey" FOREIGN KEY ("parent_id") REFERENCES "ca"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "batch" ADD CONSTRAINT "batch_principal_id_fkey" FOREIGN KEY ("principal_id") REFERENCES "principal"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "batch" ADD CONSTRAINT "batch_ca_id_fkey" FOREIGN KEY ("ca_id") REFERENCES "ca"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "batch" ADD CONSTRAINT "batch_profile_version_id_fkey" FOREIGN KEY ("profile_version_id") REFERENCES "profile_version"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "chunk" ADD CONSTRAINT "chunk_batch_id_fkey" FOREIGN KEY ("batch_id") REFERENCES "batch"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "failure" ADD CONSTRAINT "failure_chunk_id_fkey" FOREIGN KEY ("chunk_id") REFERENCES "chunk"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "revocation" ADD CONSTRAINT "revocation_ca_id_fkey" FOREIGN KEY ("ca_id") REFERENCES "ca"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "revocation" ADD CONSTRAINT "revocation_principal_id_fkey" FOREIGN KEY ("principal_id") REFERENCES "principal"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "crl" ADD CONSTRAINT "crl_ca_id_fkey" FOREIGN KEY ("ca_id") REFERENCES "ca"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "truststore_version" ADD CONSTRAINT "truststore_version_truststore_fkey" FOREIGN KEY ("truststore") REFERENCES "truststore"("name") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "registration" ADD CONSTRAINT "registration_supplier_id_fkey" FOREIGN KEY ("supplier_id") REFERENCES "supplier"("id") ON DELETE RESTRICT ON UPDATE CASCADE;
