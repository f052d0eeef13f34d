import { revocationReasons, type SetCheck } from '@fleetroot/authority';

/** Whatever may lie between two clocks that are right (I24), and a transaction that was under way. */
const IN_FLIGHT = `interval '10 seconds'`;

const hex = (serial: string): string => `encode(${serial}, 'hex')`;
/** Events of one action, taken apart once each: canonical JSON begins with its action. */
const told = (action: string): string =>
  `(SELECT seq, at, payload::json ->> 'subject' AS subject, payload::json -> 'data' AS data FROM audit_event WHERE payload LIKE '{"action":"${action}",%')`;
/** thisUpdate of the CRL that is published: what had expired by then was on one CRL after its expiry, and may be gone (I12). */
const shownUntil = (ca: string): string =>
  `coalesce((SELECT max(x.this_update) FROM crl x WHERE x.ca_id = ${ca} AND x.scope = 'all' AND x.kind = 'full' AND x.published_at IS NOT NULL), '-infinity')`;
const reasons = Object.entries(revocationReasons).map(([name, code]) => `('${name}', ${code})`).join(', ');
/** As a CRL is told of: `CRL 5`, `delta CRL 5 64/17`. */
const CRL_NAME = `CASE kind WHEN 'delta' THEN 'delta ' ELSE '' END || 'CRL ' || number || CASE scope WHEN 'all' THEN '' ELSE ' ' || scope END`;
/** Of `certificate.revoked`: which certificate. */
const revokedBy = `split_part(substring(t.subject FROM 13), '/', 1)`;
const revokedSerial = `decode(split_part(t.subject, '/', 2), 'hex')`;

/** What is told of each target of a revocation by query that was changed: by the page that it was in. */
const toldByPages = `(
  SELECT e.seq, e.at, t.ca_id, t.serial, j.reason AS code
  FROM ${told('revocation.page')} e JOIN revocation_job j ON 'revocation:' || j.id = e.subject
  JOIN revocation_target t ON t.job_id = j.id AND t.place >= (e.data ->> 'from')::int AND t.place < (e.data ->> 'from')::int + (e.data ->> 'targets')::int
  WHERE t.outcome IN ('new', 'upgrade', 'released'))`;

/** Indexes that an invariant rests on: the table, and the columns in their order. */
const unique = [
  ['certificate', 'ca_id,serial'], ['burned_serial', 'ca_id,serial'], ['revocation', 'ca_id,serial'], ['ceremony_certificate', 'issuer_id,serial'],
  ['batch', 'principal_id,idempotency_key'], ['intent', 'chunk_id,fence'], ['subject_key', 'spki_sha256'], ['crl', 'ca_id,scope,kind,number'],
  ['audit_event', 'seq'],
] as const;

/**
 * Each gives two columns of text, `subject` and `detail`, a row for a breach: as it is told in the catalogue of checks.
 * @param archived whether a batch that is told of may be gone into an archive
 */
export const setSelects = (archived: boolean): Readonly<Record<SetCheck, string>> => ({
  'batch-done': `
    SELECT 'batch ' || b.id, 'is ' || b.state || CASE b.state WHEN 'done' THEN ', and a chunk of it is not' ELSE ', and all its chunks are done' END
    FROM batch b WHERE b.state <> 'receiving' AND (b.state = 'done') <> NOT EXISTS (SELECT FROM chunk c WHERE c.batch_id = b.id AND c.state <> 'done')`,
  'batch-sum': `
    SELECT 'batch ' || b.id, 'has ' || b.items || ' items, its chunks ' || coalesce(sum(c.items), 0)
    FROM batch b LEFT JOIN chunk c ON c.batch_id = b.id GROUP BY b.id HAVING b.items <> coalesce(sum(c.items), 0)`,
  'chunks-whole': `
    SELECT 'chunk ' || id, 'begins at item ' || first || ' of its batch, the chunks before it end at ' || before
    FROM (SELECT id, first, coalesce(sum(items) OVER (PARTITION BY batch_id ORDER BY first ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS before
      FROM chunk) c WHERE first <> before`,
  'batch-events': `
    SELECT coalesce('batch ' || b.id, t.subject), CASE WHEN b.id IS NULL THEN 'is told of as accepted, and not on record' ELSE 'has ' || coalesce(t.events, 0) || ' events batch.accepted' END
    FROM (SELECT id, 'batch:' || id AS subject FROM batch WHERE state <> 'receiving') b
    FULL JOIN (SELECT subject, count(*) AS events FROM ${told('batch.accepted')} e GROUP BY subject) t USING (subject)
    WHERE (b.id IS NULL AND NOT ${archived}) OR (b.id IS NOT NULL AND t.events IS DISTINCT FROM 1)`,
  'serial-unique': `
    SELECT 'serial ' || ${hex('serial')}, count(*) || ' certificates of the CA ' || ca_id FROM certificate GROUP BY ca_id, serial HAVING count(*) > 1`,
  'unique-indexes': `
    SELECT 'table ' || wanted.relation, 'has no valid unique index of (' || wanted.columns || ')'
    FROM (VALUES ${unique.map(([relation, columns]) => `('${relation}', '${columns}')`).join(', ')}) AS wanted (relation, columns)
    WHERE NOT EXISTS (
      SELECT FROM pg_index i WHERE i.indrelid = to_regclass(wanted.relation) AND i.indisunique AND i.indisvalid AND i.indisready AND i.indpred IS NULL
        AND wanted.columns = (SELECT string_agg(a.attname, ',' ORDER BY k.place) FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k (number, place)
          JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number WHERE k.place <= i.indnkeyatts))`,
  'seed-unique': `
    SELECT 'intent ' || min(id), 'has the seed of ' || count(*) - 1 || ' others' FROM intent GROUP BY seed HAVING count(*) > 1`,
  'burned-unissued': `
    SELECT 'serial ' || ${hex('b.serial')}, 'of the CA ' || b.ca_id || ' is burned, and on record as a certificate'
    FROM burned_serial b JOIN certificate c USING (ca_id, serial)`,
  'ceremony-serial': `
    SELECT 'serial ' || ${hex('m.serial')}, 'of the CA ' || m.issuer_id || ' was used in a ceremony, and for a leaf'
    FROM ceremony_certificate m JOIN certificate c ON c.ca_id = m.issuer_id AND c.serial = m.serial`,
  'key-owner': `
    SELECT 'serial ' || ${hex('c.serial')}, 'its key is on record for ' || coalesce(k.owner, 'nobody')
    FROM certificate c LEFT JOIN subject_key k USING (spki_sha256)
    WHERE k.owner IS DISTINCT FROM coalesce('ecu:' || c.ecu_serial, 'server:' || c.subject_name, 'server:')`,
  'key-blocked': `
    SELECT 'serial ' || ${hex('r.serial')}, 'is revoked for a compromise of its key, which is not blocked'
    FROM revocation r JOIN ca ON ca.id = r.ca_id AND ca.key_id IS NOT NULL
    LEFT JOIN certificate c ON c.ca_id = r.ca_id AND c.serial = r.serial
    LEFT JOIN ceremony_certificate m ON m.issuer_id = r.ca_id AND m.serial = r.serial LEFT JOIN ca s ON s.id = m.subject_id
    LEFT JOIN subject_key k ON k.spki_sha256 = coalesce(c.spki_sha256, s.spki_sha256)
    WHERE r.reason = 1 AND coalesce(c.spki_sha256, s.spki_sha256) IS NOT NULL AND k.blocked IS NOT TRUE`,
  'blocked-key-issued': `
    WITH revoked AS (
      SELECT min(compromised.at) AS at, c.ecu_serial, c.spki_sha256 FROM (
        SELECT t.at, ca.id AS ca_id, ${revokedSerial} AS serial FROM ${told('certificate.revoked')} t JOIN ca ON ca.name = ${revokedBy} WHERE t.data ->> 'reason' = 'keyCompromise'
        UNION ALL SELECT at, ca_id, serial FROM ${toldByPages} p WHERE code = 1) AS compromised
      JOIN certificate c ON c.ca_id = compromised.ca_id AND c.serial = compromised.serial GROUP BY 2, 3)
    SELECT 'serial ' || ${hex('c.serial')}, 'was issued for a key after that was revoked for its compromise'
    FROM revoked JOIN certificate c ON c.ecu_serial = revoked.ecu_serial AND c.spki_sha256 = revoked.spki_sha256
    JOIN intent i ON i.id = c.intent_id WHERE i.signed_at > revoked.at + ${IN_FLIGHT}
    UNION ALL
    SELECT 'serial ' || ${hex('c.serial')}, 'was issued for a key after that was revoked for its compromise'
    FROM revoked JOIN certificate c ON c.spki_sha256 = revoked.spki_sha256 AND c.ecu_serial IS NULL
    JOIN intent i ON i.id = c.intent_id WHERE revoked.ecu_serial IS NULL AND i.signed_at > revoked.at + ${IN_FLIGHT}`,
  'made-key': `
    SELECT 'item ' || ordinal || ' of batch ' || batch_id, CASE
        WHEN (envelope IS NULL) <> (deleted_at IS NOT NULL) THEN 'its key is told of as deleted, and is not, or the other way round'
        WHEN delivered_at IS NOT NULL THEN 'its key was delivered an hour ago or longer, and is still kept'
        ELSE 'its key was to be kept until ' || expires_at || ', and is still kept' END
    FROM made_key WHERE (envelope IS NULL) <> (deleted_at IS NOT NULL)
      OR (envelope IS NOT NULL AND least(expires_at, delivered_at) < now() - interval '1 hour')`,
  'revocation-event': `
    WITH told AS (
      SELECT DISTINCT ON (each.ca_id, each.serial) each.ca_id, each.serial, n.name AS reason, each.code FROM (
        SELECT t.seq, ca.id AS ca_id, ${revokedSerial} AS serial, n.code
        FROM ${told('certificate.revoked')} t JOIN ca ON ca.name = ${revokedBy} LEFT JOIN (VALUES ${reasons}) AS n (name, code) ON n.name = t.data ->> 'reason'
        UNION ALL SELECT seq, ca_id, serial, code FROM ${toldByPages} p) AS each
      LEFT JOIN (VALUES ${reasons}) AS n (name, code) ON n.code = each.code ORDER BY each.ca_id, each.serial, each.seq DESC),
    row AS (
      SELECT r.ca_id, r.serial, r.reason, ca.key_id IS NULL OR EXISTS (
        SELECT FROM ceremony_certificate m JOIN ca s ON s.id = m.subject_id WHERE m.issuer_id = r.ca_id AND m.serial = r.serial AND s.revoked_at IS NOT NULL) AS otherwise
      FROM revocation r JOIN ca ON ca.id = r.ca_id WHERE r.released_at IS NULL)
    SELECT 'serial ' || ${hex('serial')}, CASE
        WHEN row.reason IS NULL THEN 'the audit log says that it is revoked (' || told.reason || '), and it is not'
        WHEN told.reason IS NULL THEN 'is revoked, and no event of the audit log says so'
        ELSE 'is revoked for reason ' || row.reason || ', the audit log says ' || told.reason END
    FROM told FULL JOIN row USING (ca_id, serial)
    WHERE (row.reason IS NULL AND told.reason <> 'removeFromCRL' AND EXISTS (
        SELECT FROM certificate c WHERE c.ca_id = told.ca_id AND c.serial = told.serial AND c.not_after >= ${shownUntil('told.ca_id')}))
      OR (row.reason IS NOT NULL AND NOT row.otherwise AND row.reason IS DISTINCT FROM told.code)`,
  'revocation-job': `
    WITH page AS (
      SELECT e.subject, (e.data ->> 'from')::int AS first, (e.data ->> 'targets')::int AS targets, e.data ->> 'sha256' AS sha256 FROM ${told('revocation.page')} e)
    SELECT page.subject, 'the outcomes from place ' || page.first || ' on are not those that the audit log tells of'
    FROM page JOIN revocation_job j ON 'revocation:' || j.id = page.subject
    WHERE page.sha256 IS DISTINCT FROM (
      SELECT ${hex(`sha256(convert_to(string_agg(ca.name || '/' || ${hex('t.serial')} || ' ' || coalesce(t.outcome, '') || chr(10), '' ORDER BY t.place), 'UTF8'))`)}
      FROM revocation_target t JOIN ca ON ca.id = t.ca_id WHERE t.job_id = j.id AND t.place >= page.first AND t.place < page.first + page.targets)
    UNION ALL
    SELECT 'revocation:' || j.id, 'has ' || j.done || ' targets done, the audit log tells of ' || coalesce(told.targets, 0)
    FROM revocation_job j LEFT JOIN (SELECT subject, sum(targets) AS targets FROM page GROUP BY subject) told ON told.subject = 'revocation:' || j.id
    WHERE j.done <> coalesce(told.targets, 0)
    UNION ALL
    SELECT 'revocation:' || j.id, 'has begun with ' || count(a.principal_id) || ' approvals of others for its targets, and needs ' || j.approvals
    FROM revocation_job j LEFT JOIN revocation_approval a ON a.job_id = j.id AND a.principal_id <> j.principal_id AND a.targets_sha256 = j.targets_sha256
    WHERE j.begun_at IS NOT NULL GROUP BY j.id HAVING count(a.principal_id) < j.approvals`,
  'revoked-certificate': `
    SELECT 'serial ' || ${hex('r.serial')}, CASE WHEN c.serial IS NULL AND m.serial IS NULL THEN 'is revoked, and no certificate on record has it'
        ELSE 'is on CRLs until ' || r.not_after || ', and its certificate ends at ' || coalesce(c.not_after, m.not_after) END
    FROM revocation r LEFT JOIN certificate c ON c.ca_id = r.ca_id AND c.serial = r.serial
    LEFT JOIN ceremony_certificate m ON m.issuer_id = r.ca_id AND m.serial = r.serial
    WHERE coalesce(c.not_after, m.not_after) <> r.not_after OR (c.serial IS NULL AND m.serial IS NULL AND r.not_after >= ${shownUntil('r.ca_id')})`,
  'ca-newest': `
    SELECT 'CA ' || ca.name, 'its certificate is none that a ceremony made for it, or does not end last' FROM ca WHERE NOT EXISTS (
      SELECT FROM ceremony_certificate m WHERE m.subject_id = ca.id AND m.kind = 'ca' AND m.der = ca.certificate AND m.not_after = ca.not_after
        AND m.not_after >= ALL (SELECT o.not_after FROM ceremony_certificate o WHERE o.subject_id = ca.id AND o.kind = 'ca'))`,
  'ca-revoked': `
    SELECT 'CA ' || ca.name, CASE WHEN ca.state NOT IN ('retired', 'compromised') THEN 'is revoked, and ' || ca.state
        ELSE 'is revoked, and its certificate by ' || i.name || ' is not' END
    FROM ca LEFT JOIN ceremony_certificate m ON m.subject_id = ca.id AND m.issuer_id <> ca.id AND m.not_after > now()
    LEFT JOIN ca i ON i.id = m.issuer_id
    WHERE ca.revoked_at IS NOT NULL AND (ca.state NOT IN ('retired', 'compromised') OR (m.id IS NOT NULL AND NOT EXISTS (
      SELECT FROM revocation r WHERE r.ca_id = m.issuer_id AND r.serial = m.serial AND r.released_at IS NULL)))
    UNION ALL
    SELECT t.subject, 'is told of as revoked, and is not' FROM ${told('ca.revoked')} t JOIN ca ON 'ca:' || ca.name = t.subject WHERE ca.revoked_at IS NULL`,
  'ca-succession': `
    WITH RECURSIVE line (first, at, steps) AS (
      SELECT id, successor_id, 1 FROM ca WHERE successor_id IS NOT NULL
      UNION ALL SELECT line.first, ca.successor_id, steps + 1 FROM line JOIN ca ON ca.id = line.at WHERE ca.successor_id IS NOT NULL AND steps < 100)
    SELECT 'CA ' || ca.name, 'follows itself' FROM line JOIN ca ON ca.id = line.first WHERE line.at = line.first
    UNION ALL SELECT 'CA ' || successor_id, 'follows several' FROM ca WHERE successor_id IS NOT NULL GROUP BY successor_id HAVING count(*) > 1`,
  'crl-number': `
    SELECT ${CRL_NAME} || ' of ' || name, CASE
        WHEN number > crl_number THEN 'is above the last number that was given out, ' || crl_number
        WHEN next_update <= this_update THEN 'has a nextUpdate that is not after its thisUpdate'
        WHEN this_update < update_before THEN 'is older than the one with the number before it'
        WHEN published_at < published_before THEN 'was published before one with a lower number'
        WHEN kind = 'delta' AND NOT has_base THEN 'starts from ' || base_number || ', which is no full CRL of its scope'
        ELSE 'is below the time that it was made at' END
    FROM (SELECT c.*, ca.name, ca.crl_number, ca.key_id IS NOT NULL AS here,
        max(this_update) OVER earlier AS update_before, max(published_at) OVER earlier AS published_before,
        published_at IS NULL OR kind = 'full' OR EXISTS (SELECT FROM crl b WHERE b.ca_id = c.ca_id AND b.scope = c.scope AND b.kind = 'full' AND b.number = c.base_number AND b.published_at IS NOT NULL) AS has_base
      FROM crl c JOIN ca ON ca.id = c.ca_id WINDOW earlier AS (PARTITION BY c.ca_id, c.scope, c.kind ORDER BY number ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)) AS c
    WHERE number > crl_number OR next_update <= this_update OR this_update < update_before OR published_at < published_before OR NOT has_base
      OR (here AND number < floor(extract(epoch FROM this_update) * 1000))`,
  'crl-event': `
    WITH told AS (
      SELECT substring(t.subject FROM 4) AS name, (t.data ->> 'number')::numeric AS number, coalesce(e.crl ->> 'scope', 'all') AS scope,
        coalesce(e.crl ->> 'kind', 'full') AS kind, min(e.crl ->> 'sha256') AS sha256, count(*) AS events
      FROM (SELECT * FROM ${told('crl.published')} p UNION ALL SELECT * FROM ${told('crl.imported')} i) t,
        LATERAL json_array_elements(coalesce(t.data -> 'crls', json_build_array(t.data))) AS e (crl) GROUP BY 1, 2, 3, 4)
    SELECT ${CRL_NAME} || ' of ' || name, CASE WHEN told.events IS NULL THEN 'is published, and no event of the audit log says so'
        WHEN on_record.id IS NULL THEN 'is told of as published, and is not on record'
        WHEN told.events > 1 THEN 'is told of ' || told.events || ' times' ELSE 'is not the one that the audit log tells of' END
    FROM told FULL JOIN (
      SELECT c.id, ca.name, c.number::numeric AS number, c.scope, c.kind, ${hex('coalesce(sha256(c.der), c.sha256)')} AS sha256 FROM crl c JOIN ca ON ca.id = c.ca_id WHERE c.published_at IS NOT NULL
    ) AS on_record USING (name, number, scope, kind)
    WHERE told.events IS DISTINCT FROM 1 OR on_record.id IS NULL OR on_record.sha256 <> told.sha256`,
  'audit-guard': `
    SELECT 'table audit_event', 'its trigger ' || wanted.name || ' is missing or off: rows can be changed'
    FROM (VALUES ('audit_event_append_only'), ('audit_event_no_truncate')) AS wanted (name)
    WHERE NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = to_regclass('audit_event') AND t.tgname = wanted.name AND t.tgenabled IN ('O', 'A'))`,
});
