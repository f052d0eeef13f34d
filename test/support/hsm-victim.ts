/** A process that signs without end, to be killed: the options of its signer come on standard input, the PIN among them. */
import { text } from 'node:stream/consumers';
import { Secret } from '@fleetroot/core';
import { openSigner } from '@fleetroot/hsm';

interface Told {
  readonly module: string;
  readonly tokenLabel: string;
  readonly pin: string;
  readonly keyId: string;
  readonly spkiDer: string;
}

const octets = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex, 'hex'));
const told = JSON.parse(await text(process.stdin)) as Told;
const keyId = octets(told.keyId);
const signer = await openSigner({
  module: told.module, tokenLabel: told.tokenLabel, pin: new Secret(told.pin), deadlineMs: 60_000, sessionCopies: 'try', sessions: 2,
  keys: [{ keyId, spkiDer: octets(told.spkiDer) }],
});
process.stdout.write('signing\n');
for (;;) await signer.sign(keyId, 'ecdsa-sha256', Array.from({ length: 64 }, () => crypto.getRandomValues(new Uint8Array(100))));
