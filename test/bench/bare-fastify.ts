// The least that an answer over HTTP costs here: Fastify with one handler that looks at nothing. Prints its port.
import fastify from 'fastify';

const app = fastify({ logger: false });
app.get('/v1/authorize/nginx', (_, reply) => {
  void reply.code(204).send();
});
process.on('SIGTERM', () => process.exit(0));
console.log(new URL(await app.listen({ host: '127.0.0.1', port: 0 })).port);
