-- Whoever serves or copies CRLs asks again and again what was published since he looked last.
CREATE INDEX "crl_published_at_idx" ON "crl" ("published_at");
