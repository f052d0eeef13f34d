// The floor under OCSP over HTTP: Fastify and one handler that gives back octets it has ready.
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import fastify from 'fastify';
import type { Scratch } from './scratch.ts';

export interface ReadyAnswer {
  /** Of a GET, as the request line has it. */
  readonly path: string;
  readonly body: Uint8Array;
  readonly headers: Readonly<Record<string, string>>;
}

/**
 * Starts it in a process of its own, with these flags of V8; resolves with its port. A POST gets the first answer, whatever
 * it says.
 */
export function startBareResponder(scratch: Scratch, answers: readonly ReadyAnswer[], flags: readonly string[]): Promise<number> {
  const child = fork(fileURLToPath(import.meta.url), ['bare-responder'], { serialization: 'advanced', execArgv: [...process.execArgv, ...flags] });
  scratch.defer(() => void child.kill());
  return new Promise((resolve, reject) => {
    child.once('message', (port) => resolve(port as number));
    child.once('exit', (status) => reject(new Error(`the bare responder ended with ${status}`)));
    child.send(answers);
  });
}

async function serve(answers: readonly ReadyAnswer[]): Promise<number> {
  const ready = new Map(answers.map(({ path, body, headers }) => [path, { body: Buffer.from(body), headers }]));
  const first = ready.values().next().value!;
  const app = fastify();
  app.addContentTypeParser('application/ocsp-request', { parseAs: 'buffer' }, (_, body, done) => done(null, body));
  app.get('/ocsp/*', (request, reply) => {
    const { body, headers } = ready.get(request.raw.url ?? '') ?? first;
    return reply.headers(headers).type('application/ocsp-response').send(body);
  });
  app.post('/ocsp', (_, reply) => reply.type('application/ocsp-response').send(first.body));
  await app.listen({ port: 0, host: '127.0.0.1' });
  return (app.server.address() as { port: number }).port;
}

if (process.argv[2] === 'bare-responder') {
  process.once('message', (answers) => {
    process.once('disconnect', () => process.exit(0));
    void serve(answers as ReadyAnswer[]).then((port) => process.send?.(port));
  });
}
