-- The lot that an ECU's supplier delivered it in, where a line says so: what a recall names. Most ECUs have none.
ALTER TABLE "ecu" ADD COLUMN "lot" TEXT;
ALTER TABLE ecu ADD CONSTRAINT ecu_lot_length CHECK (octet_length(lot) BETWEEN 1 AND 64);
CREATE INDEX ecu_lot ON ecu (lot) WHERE lot IS NOT NULL;
