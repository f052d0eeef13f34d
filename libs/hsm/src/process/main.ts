/**
 * The process that talks to the HSM. It reads a frame, works, writes a frame, and blocks in between: a frozen HSM
 * freezes this process and no other, and whoever started it can kill it. It ends when its channel closes.
 */
import { isPkiError, type PkiError, Secret, toHex } from '@fleetroot/core';
import type { SignatureAlgorithm } from '@fleetroot/x509';
import { isFaultOfKey } from '../cryptoki-error.ts';
import { type KeyFaults, SigningSession } from '../signing-session.ts';
import type { Token } from '../token.ts';
import { BlockingChannel, encodeFrame, frameKind, PackedFrame, packStrings, unpackStrings } from './frames.ts';
import { endWithParent } from './parent-watch.ts';
import { type Failure, failureOf, type HsmOperation, type HsmRequest, type HsmRequests, type OpenedKey } from './requests.ts';

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
function send(frame: Uint8Array): void {
  try {
    channel.send(frame);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EPIPE') process.exit(0);
    throw error;
  }
}

const say = (...frame: Parameters<typeof encodeFrame>): void => send(encodeFrame(...frame));

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
    ({ progressMs } = ask);
    signing ??= new SigningSession({
      ...ask,
      keys: ask.keys.map(({ keyId, spkiDer, tests }) => (
        { keyId: octets(keyId), spkiDer: octets(spkiDer), algorithms: tests.map(({ algorithm }) => algorithm) }
      )),
    });
    passed = undefined;
    const faults = signing.connect(progress);
    return { keys: tryKeys(signing, ask.keys, faults), copied: signing.copied };
  },
  probe: (ask) => {
    const session = connected();
    return { keys: tryKeys(session, ask.keys, session.probe(progress)) };
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

function connected(): SigningSession {
  if (signing === undefined) throw new Error('no signer is open');
  return signing;
}

type Asked = HsmRequests['probe']['ask']['keys'][number];

/** The key that passed its self-tests last: it shows that the session works where another key does not. */
let passed: Asked | undefined;

/**
 * The self-tests of each key. One that fails, whatever the token calls it, is that key's own trouble where another key
 * signs right after: a damaged key must not take the others with it.
 * @throws PkiError `hsm.unavailable` where nothing shows that the session works
 */
function tryKeys(session: SigningSession, keys: readonly Asked[], faults: KeyFaults): OpenedKey[] {
  const tried = keys.map((key) => {
    const fault = faults.get(key.keyId);
    return fault === undefined ? tryKey(session, key) : { fault: toFailure(fault) };
  });
  return tried.map((outcome, i) => {
    const key = keys[i];
    if (key === undefined || !isLost(outcome)) return outcome;
    if (passed === undefined || isLost(tryKey(session, passed))) throw lostBy(session, outcome.fault);
    const again = tryKey(session, key);
    return isLost(again) ? { fault: ofTheKey(key, again.fault) } : again;
  });
}

function tryKey(session: SigningSession, key: Asked): OpenedKey {
  try {
    const signatures = key.tests.map(({ algorithm, input }) => {
      const signature = session.trial(key.keyId, algorithm, Buffer.from(input, 'hex'));
      progress();
      return signature;
    });
    passed = key;
    return { signatures };
  } catch (error) {
    if (!isPkiError(error) || (!isFaultOfKey(error) && error.code !== 'hsm.unavailable')) throw error;
    return { fault: toFailure(error) };
  }
}

const isLost = (outcome: OpenedKey): outcome is { readonly fault: Failure } => 'fault' in outcome && outcome.fault.code === 'hsm.unavailable';

function lostBy(session: SigningSession, fault: Failure): PkiError {
  session.lose();
  return failureOf(fault);
}

const ofTheKey = ({ keyId }: Asked, { message }: Failure): Failure => ({
  code: 'hsm.mechanism-missing', data: {},
  message: `the token cannot sign with the key with CKA_ID ${keyId}, though it can with another: ${message}. The key may be damaged: restore it from its backup`,
});

interface FrameHeader {
  readonly keyId: string;
  readonly algorithm: SignatureAlgorithm;
}

const reply = new PackedFrame();
/** Of the frame before; mostly the next one's too. */
let lastHeader = { octets: Buffer.alloc(0), read: { keyId: '', algorithm: 'ed25519' } as FrameHeader };

function readHeader(header: Buffer): FrameHeader {
  if (!header.equals(lastHeader.octets)) {
    lastHeader = { octets: Buffer.from(header), read: JSON.parse(header.toString('utf8')) as FrameHeader };
  }
  return lastHeader.read;
}

const onSigned = (signature: Buffer): void => {
  reply.add(signature);
  progress();
};

function signFrame(body: Buffer): void {
  const [header, ...inputs] = unpackStrings(body);
  if (header === undefined) throw new Error('a frame without a header');
  const { keyId, algorithm } = readHeader(header);
  reply.begin(inputs.length);
  try {
    connected().sign(keyId, algorithm, inputs, onSigned);
  } catch (error) {
    return say(frameKind.interrupted, packStrings([Buffer.from(JSON.stringify(toFailure(error))), ...reply.strings()]));
  }
  send(reply.encode(frameKind.signatures));
}

const toFailure = (error: unknown): Failure => (isPkiError(error)
  ? { code: error.code, message: error.message, data: error.data }
  : { code: 'hsm.unavailable', message: `the HSM process failed: ${error instanceof Error ? error.message : 'unknown error'}`, data: {} });

endWithParent();
say(frameKind.hello);
for (let frame = channel.read(); frame !== undefined; frame = channel.read()) {
  lastWrite = performance.now();
  try {
    if (frame.kind === frameKind.sign) {
      signFrame(frame.body);
    } else {
      const request = JSON.parse(frame.body.toString('utf8')) as HsmRequest;
      const answer = answers[request.op] as (ask: HsmRequest) => unknown;
      say(frameKind.reply, Buffer.from(JSON.stringify((await answer(request)) ?? null)));
    }
  } catch (error) {
    say(frameKind.failure, Buffer.from(JSON.stringify(toFailure(error))));
  }
}
signing?.disconnect();
token?.close();
process.exit(0);
