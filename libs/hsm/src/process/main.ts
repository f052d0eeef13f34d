/**
 * The process that talks to the HSM. It reads a frame, works, writes a frame, and blocks in between: a frozen HSM
 * freezes this process and no other, and whoever started it can kill it. It ends when its channel closes.
 */
import { isPkiError, Secret, toHex } from '@fleetroot/core';
import type { SignatureAlgorithm } from '@fleetroot/x509';
import { SigningSession } from '../signing-session.ts';
import type { Token } from '../token.ts';
import { BlockingChannel, frameKind, packStrings, unpackStrings } from './frames.ts';
import type { Failure, HsmOperation, HsmRequest, HsmRequests } from './requests.ts';

/** Descriptor of the channel: the fourth of this process, so that whatever a library prints does not get in. */
const CHANNEL = 3;

const channel = new BlockingChannel(CHANNEL);
let signing: SigningSession | undefined;
let token: Token | undefined;
let progressMs = 1000;
let lastWrite = performance.now();

// A Ctrl-C in a terminal reaches the whole group; the batch in hand is finished, and the parent closes the channel.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {});

/** Nobody hears us where the other end has closed: whoever started this process is gone. */
function say(...frame: Parameters<BlockingChannel['write']>): void {
  try {
    channel.write(...frame);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EPIPE') process.exit(0);
    throw error;
  }
}

const octets = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex, 'hex'));

/** Tells the parent, between two calls to the HSM, that this process is alive. */
function progress(): void {
  if (performance.now() - lastWrite < progressMs) return;
  say(frameKind.progress);
  lastWrite = performance.now();
}

type Answers = { [O in HsmOperation]: (ask: HsmRequests[O]['ask']) => HsmRequests[O]['answer'] | Promise<HsmRequests[O]['answer']> };

const answers: Answers = {
  openSigner: (ask) => {
    const keys = ask.keys.map((key) => ({ keyId: octets(key.keyId), spkiDer: octets(key.spkiDer) }));
    ({ progressMs } = ask);
    signing = new SigningSession({ ...ask, keys });
    signing.connect();
    const signatures: string[] = [];
    for (const key of ask.keys) {
      signing.sign(octets(key.keyId), key.algorithm, [Buffer.from(key.input, 'hex')], (signature) => signatures.push(toHex(signature)));
      progress();
    }
    return { signatures, copied: signing.copied };
  },
  findToken: async (ask) => (await import('../token.ts')).findToken(ask) ?? null,
  initToken: async (ask) => (await import('../token.ts')).initToken({ ...ask, soPin: new Secret(ask.soPin), pin: new Secret(ask.pin) }),
  openToken: async (ask) => {
    token?.close();
    token = undefined;
    token = (await import('../token.ts')).openToken({ ...ask, pin: new Secret(ask.pin) });
    return token.facts;
  },
  generateKeyPair: (ask) => ({ spkiDer: toHex(opened().generateKeyPair({ ...ask, keyId: octets(ask.keyId) })) }),
  listKeys: () => opened().listKeys().map(({ keyId, spkiDer, ...key }) => (
    { ...key, keyId: toHex(keyId), spkiDer: spkiDer === undefined ? null : toHex(spkiDer) }
  )),
  signOnce: (ask) => ({ signature: toHex(opened().sign(octets(ask.keyId), ask.algorithm, octets(ask.message))) }),
};

function opened(): Token {
  if (token === undefined) throw new Error('no token is open');
  return token;
}

function signBatch(body: Buffer): void {
  const [header, ...inputs] = unpackStrings(body);
  if (signing === undefined || header === undefined) throw new Error('no signer is open');
  const { keyId, algorithm } = JSON.parse(header.toString('utf8')) as { keyId: string; algorithm: SignatureAlgorithm };
  const signatures: Buffer[] = [];
  signing.sign(octets(keyId), algorithm, inputs, (signature) => {
    signatures.push(Buffer.from(signature));
    progress();
  });
  say(frameKind.signatures, packStrings(signatures));
}

function fail(error: unknown): void {
  const failure: Failure = isPkiError(error)
    ? { code: error.code, message: error.message, data: error.data }
    : { code: 'hsm.unavailable', message: `the HSM process failed: ${error instanceof Error ? error.message : 'unknown error'}`, data: {} };
  say(frameKind.failure, Buffer.from(JSON.stringify(failure)));
}

say(frameKind.hello);
for (let frame = channel.read(); frame !== undefined; frame = channel.read()) {
  lastWrite = performance.now();
  try {
    if (frame.kind === frameKind.sign) {
      signBatch(frame.body);
    } else {
      const request = JSON.parse(frame.body.toString('utf8')) as HsmRequest;
      const answer = answers[request.op] as (ask: HsmRequest) => unknown;
      say(frameKind.reply, Buffer.from(JSON.stringify((await answer(request)) ?? null)));
    }
  } catch (error) {
    fail(error);
  }
}
signing?.disconnect();
token?.close();
process.exit(0);
