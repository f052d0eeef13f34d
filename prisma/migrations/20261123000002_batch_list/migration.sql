-- The list of batches. Those of single certificates, one for each, are left out of it: they would be nearly all of it.
CREATE INDEX batch_listed ON batch (created_at, id) WHERE priority > 1;
CREATE INDEX batch_of_principal ON batch (principal_id, created_at, id) WHERE priority > 1;
