import type { SetCheck } from '../ports/inspection.ts';

export interface Check {
  /** Of docs: what must never happen, by its number. */
  readonly invariant: string;
  /** What must hold. */
  readonly holds: string;
  /** What to do where it does not. */
  readonly remedy: string;
}

const stop = 'Stop the issuers, keep the database as it is, and find out what wrote to it.';
const compare = 'Compare the row with the audit log and with a backup: somebody or something changed it.';

const bySet = {
  'batch-done': { invariant: 'I22', holds: 'A batch is done when, and only when, each of its chunks is.', remedy: 'A batch whose chunks are all done is completed by hand (state, completed_at); one that is done too early has work left: look at the open chunks.' },
  'batch-sum': { invariant: 'I22', holds: 'A batch has as many items as its chunks together.', remedy: compare },
  'chunks-whole': { invariant: 'I22', holds: 'The chunks of a batch cover its items without a gap and without overlap.', remedy: compare },
  'batch-events': { invariant: 'I26', holds: 'Each accepted batch has one event batch.accepted, and each such event its batch.', remedy: compare },
  'serial-unique': { invariant: 'I3', holds: 'A CA has issued a serial once.', remedy: 'Stop the issuers. Revoke both certificates, and have the ECUs certified anew.' },
  'unique-indexes': { invariant: 'I3', holds: 'The unique indexes that the invariants rest on are there and valid.', remedy: 'Stop the issuers, make the index again (REINDEX, or migrate), and run fsck: duplicates may have come in meanwhile.' },
  'seed-unique': { invariant: 'I4', holds: 'Each intent has a seed of its own.', remedy: 'Stop the issuers: their source of random numbers repeats itself. Replace the machine or its image before the next start.' },
  'burned-unissued': { invariant: 'I8', holds: 'No burned serial is a certificate on record.', remedy: 'The serial stays revoked. Have the ECU certified anew.' },
  'ceremony-serial': { invariant: 'I3', holds: 'No CA used a serial both in a ceremony and for a leaf.', remedy: 'Revoke the leaf, and have its holder certified anew.' },
  'key-owner': { invariant: 'I11', holds: 'Each certified key is on record for the ECU or server of its certificate.', remedy: compare },
  'key-blocked': { invariant: 'I11', holds: 'The key of a certificate that was revoked for a key compromise is blocked.', remedy: 'Set subject_key.blocked for the key, then find out who cleared it.' },
  'blocked-key-issued': { invariant: 'I11', holds: 'No key was certified after it was told of as compromised.', remedy: 'Revoke that certificate too, for keyCompromise; the ECU needs a new key.' },
  'made-key': { invariant: 'I31', holds: 'A private key that was made here is gone an hour after its delivery or its time limit, at the latest.', remedy: 'See whether the worker runs; its task made-keys deletes them.' },
  'revocation-event': { invariant: 'I12', holds: 'What the audit log says is revoked is revoked, for the reason told last; and nothing else is.', remedy: 'Revoke the certificate again where the revocation is missing; ask whose revocation it is where the event is.' },
  'revocation-job': { invariant: 'I26', holds: 'A revocation by query has done what the audit log tells of, target by target, and began with the approvals of others that it needs, for its targets.', remedy: stop },
  'revoked-certificate': { invariant: 'I12', holds: 'A revocation is of a certificate on record, and ends when that does: so it stays on CRLs long enough.', remedy: 'Set revocation.not_after to that of the certificate, and have a CRL published.' },
  'ca-newest': { invariant: 'I10', holds: 'The certificate of a CA is one that a ceremony made for it, and the one that ends last.', remedy: 'Import the certificate again (fleetroot ca import).' },
  'ca-revoked': { invariant: 'I10', holds: 'A CA that was revoked is retired or compromised, and revoked at each of its issuers.', remedy: 'Revoke the CA again. For an issuer whose key is elsewhere, have a ceremony sign its next CRL.' },
  'ca-succession': { invariant: 'I10', holds: 'A CA follows one other, and none follows itself.', remedy: 'Set the succession right with fleetroot ca succeed.' },
  'crl-number': { invariant: 'I13', holds: 'CRL numbers, thisUpdate and the times of publication only grow, and no number is above the last that was given out.', remedy: stop },
  'crl-event': { invariant: 'I13', holds: 'Each published CRL has one event, with the SHA-256 of its octets, and each such event its CRL.', remedy: 'One number has two contents, or the log does not know of one: publish a new CRL, then find out what wrote it.' },
  'audit-guard': { invariant: 'I27', holds: 'The triggers that make the audit log append-only are there and on.', remedy: 'Switch them on again (ALTER TABLE audit_event ENABLE TRIGGER …), and look for what was changed meanwhile: audit-chain.' },
} as const satisfies Record<SetCheck, Check>;

/** Every check, in the order in which it is documented. */
export const checks = {
  'intent-stored': { invariant: 'I1', holds: 'Each certificate has the intent that was committed before its signature: stored, of its chunk, CA and profile version.', remedy: stop },
  'signature-once': { invariant: 'I2', holds: 'The HSM signed nothing twice.', remedy: 'Stop the issuers: an attempt was signed again, or two work without knowing of one another.' },
  'signature-made': { invariant: 'I2', holds: 'Each certificate and each CRL on record was signed by the HSM.', remedy: 'The record is not whole, or another key signs: compare the key on record with the token.' },
  'signature-known': { invariant: 'I2', holds: 'What the HSM signed is on record, burned, or a self-test.', remedy: 'Certificates exist that nobody knows. If an older backup was restored, that is why: reconcile. If not, treat the CA as compromised.' },
  'serial-unique': bySet['serial-unique'],
  'unique-indexes': bySet['unique-indexes'],
  'ceremony-serial': bySet['ceremony-serial'],
  'seed-unique': bySet['seed-unique'],
  'serial-derived': { invariant: 'I4', holds: 'Each serial is the one that follows from the seed of its intent, its place, and the ledger key.', remedy: 'Is it the right ledger key? If so: the certificate did not come by the way of issuance. Stop the issuers.' },
  'body-once': { invariant: 'I5', holds: 'Each item of a batch has one outcome: one certificate or one failure.', remedy: 'Stop the issuers. Two certificates of one item: revoke the one that the line did not get.' },
  'certificate-row': { invariant: 'I6', holds: 'Serial, issuer, key, subject and validity of each certificate are those of its row.', remedy: compare },
  'certificate-signature': { invariant: 'I6', holds: 'The signature of a certificate verifies under its CA (a sample, and all of the newest day; all with --full).', remedy: 'Stop the issuers. The certificate is of no use: revoke it, and have its holder certified anew.' },
  'ceremony-row': { invariant: 'I6', holds: 'What ceremonies signed is what its rows say, and its signature verifies.', remedy: compare },
  'certificate-validity': { invariant: 'I7', holds: 'A certificate begins no later than it was issued, and ends no later than its CA.', remedy: 'Revoke it, and have its holder certified anew; then look at the clocks.' },
  'intent-burned': { invariant: 'I8', holds: 'Each serial whose signature may exist outside the ledger is burned, and nothing else is.', remedy: 'A serial that is missing: put it into burned_serial, and have a CRL published. Stop the issuers first.' },
  'burned-unissued': bySet['burned-unissued'],
  'certificate-leaf': { invariant: 'I9', holds: 'No certificate that was issued here is one of a CA.', remedy: 'Stop the issuers, and revoke it at once.' },
  'certificate-profile': { invariant: 'I9', holds: 'A certificate has the extensions of its profile, each once, and passes the lint (a sample, and all of the newest day; all with --full).', remedy: 'Stop the issuers, and find out which version built it.' },
  'intent-ca': { invariant: 'I10', holds: 'A CA signed for times when it was valid and not revoked, and nothing that ends after it.', remedy: 'Revoke what was issued too late; stop the issuers until it is known how.' },
  'ca-newest': bySet['ca-newest'],
  'ca-revoked': bySet['ca-revoked'],
  'ca-succession': bySet['ca-succession'],
  'key-owner': bySet['key-owner'],
  'key-blocked': bySet['key-blocked'],
  'blocked-key-issued': bySet['blocked-key-issued'],
  'revocation-event': bySet['revocation-event'],
  'revocation-job': bySet['revocation-job'],
  'revoked-certificate': bySet['revoked-certificate'],
  'crl-lists': { invariant: 'I12', holds: 'The published CRL lists each revoked and each burned serial, with its reason, half a minute after it came on record at the latest.', remedy: 'See why the issuer publishes none (its log, /readyz), and whether a cache keeps the old one.' },
  'crl-known': { invariant: 'I12', holds: 'What the published CRL lists is revoked or burned on record; only a hold may be released.', remedy: 'Something revoked became good: put the revocation on record again. A restored older backup looks like this.' },
  'crl-number': bySet['crl-number'],
  'crl-event': bySet['crl-event'],
  'crl-current': { invariant: 'I14', holds: 'The published CRL of each trusted CA is there, not expired, and younger than three quarters of its life where the key is here.', remedy: 'See why the issuer publishes none; for a CA whose key is elsewhere, have a ceremony sign the next one.' },
  'crl-kept': { invariant: 'I15', holds: 'A published CRL is of its CA, signed by it, with the number, times and entries of its row, each serial once.', remedy: 'Publish a new one, and find out what wrote this.' },
  'crl-succession': { invariant: 'I15', holds: 'From one CRL to the next nothing leaves but what had expired, or a hold.', remedy: 'Put the revocations on record again, and have a CRL published.' },
  'crl-served': { invariant: 'I15', holds: 'What is served under the URL of a CA is its newest CRL on record, octet for octet.', remedy: 'See what stands between the status app and here: a cache, a proxy, another installation.' },
  'filter-kept': { invariant: 'I15', holds: 'A published revocation filter is of its CA, has the header that was put on record before it was signed, the version of its row, and the tables that its header names.', remedy: 'Vehicles refuse it. Have a new one published, and find out what wrote this.' },
  'ocsp-signer': { invariant: 'I19', holds: 'OCSPSigning is in certificates of OCSP signers alone: of their profile, with ocsp-nocheck, for a month at most, and never in that of a CA.', remedy: 'Revoke it: whoever has its key speaks for the CA.' },
  'chunk-requests': { invariant: 'I20', holds: 'A chunk that is open keeps its requests; one that is done does not.', remedy: 'An open chunk without requests can never be issued: cancel the batch, and have the line send it again.' },
  'intent-single': { invariant: 'I21', holds: 'One attempt at a chunk is stored, and an open one is that of who holds the chunk.', remedy: stop },
  'batch-done': bySet['batch-done'],
  'batch-sum': bySet['batch-sum'],
  'chunks-whole': bySet['chunks-whole'],
  'chunk-sum': { invariant: 'I22', holds: 'A chunk counts the certificates and failures that are there; done, they are its items.', remedy: compare },
  'batch-events': bySet['batch-events'],
  'chunk-event': { invariant: 'I26', holds: 'Each chunk that was issued has one event, whose digest is that of its certificates, and each abandoned intent one.', remedy: 'Certificates were changed, added or lost after the event: compare with a backup.' },
  'audit-chain': { invariant: 'I27', holds: 'The audit log is one unbroken chain up to its head.', remedy: 'Keep the database as it is. Compare with a backup which events were changed, and by whom.' },
  'audit-guard': bySet['audit-guard'],
  'audit-seen': { invariant: 'I28', holds: 'The audit log still holds the heads that earlier inspections saw, or that were given with --audit-head.', remedy: 'An older backup was restored, or the log was written anew: do not sign before it is reconciled.' },
  'last-signed': { invariant: 'I28', holds: 'No CA has signed for a later time than it is on record for, and none for the future.', remedy: 'Set the clocks right; if an older backup was restored, reconcile before anything is signed.' },
  'ledger-older': { invariant: 'I28', holds: 'No CRL is published with a number that the ledger has not given out.', remedy: 'The ledger is an older backup: do not sign before it is reconciled.' },
  'made-key': bySet['made-key'],
} as const satisfies Record<string, Check>;

export type CheckName = keyof typeof checks;
