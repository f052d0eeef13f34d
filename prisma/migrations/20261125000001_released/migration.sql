-- Released holds, which are few among what is revoked: looked for after each full CRL.
CREATE INDEX revocation_released ON revocation (ca_id, released_at) WHERE released_at IS NOT NULL;
