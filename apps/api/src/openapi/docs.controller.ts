import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { Controller, Get, Inject, Param, Res } from '@nestjs/common';
import { PkiError } from '@fleetroot/core';
import { Public } from '@fleetroot/http';
import type { FastifyReply } from 'fastify';

/** Gives the document once the routes are known. */
export const DOCUMENT = Symbol('OpenApiDocument');

// Swagger UI comes with @nestjs/swagger; nothing is fetched from elsewhere.
const require = createRequire(import.meta.url);
const assets = dirname(createRequire(require.resolve('@nestjs/swagger')).resolve('swagger-ui-dist/package.json'));

const files: Readonly<Record<string, string>> = {
  'swagger-ui.css': 'text/css; charset=utf-8',
  'swagger-ui-bundle.js': 'text/javascript; charset=utf-8',
  'favicon-32x32.png': 'image/png',
};

const START = `window.onload = () => SwaggerUIBundle({ url: '/openapi.json', dom_id: '#ui', deepLinking: true, validatorUrl: null });\n`;
const PAGE = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Fleetroot API</title>
<link rel="stylesheet" href="/docs/swagger-ui.css">
<link rel="icon" href="/docs/favicon-32x32.png">
</head>
<body>
<main id="ui"></main>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
`;
/** Swagger UI sets styles inline and embeds images; scripts come from here alone. */
const POLICY = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'";

@Controller()
@Public()
export class DocsController {
  readonly #document: () => object;

  constructor(@Inject(DOCUMENT) document: () => object) {
    this.#document = document;
  }

  @Get('openapi.json')
  document(): object {
    return this.#document();
  }

  @Get('docs')
  page(@Res() reply: FastifyReply): void {
    void reply.type('text/html; charset=utf-8').header('content-security-policy', POLICY).send(PAGE);
  }

  @Get('docs/:file')
  async asset(@Param('file') file: string, @Res() reply: FastifyReply): Promise<void> {
    if (file === 'start.js') return void reply.type('text/javascript; charset=utf-8').send(START);
    const type = files[file];
    if (type === undefined || !Object.hasOwn(files, file)) throw new PkiError('http.not-found');
    void reply.type(type).header('cache-control', 'public, max-age=3600').send(await readFile(join(assets, file)));
  }
}
