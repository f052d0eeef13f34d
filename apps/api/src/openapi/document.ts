import type { AppRoute } from '@fleetroot/http';
import { z } from 'zod';
import type { Content, Operation } from './operation.ts';

type Json = Readonly<Record<string, unknown>>;

const problemSchema = z.looseObject({
  type: z.string(), title: z.string(), status: z.int(), detail: z.string(),
  instance: z.string().meta({ description: 'urn:uuid: and the id of the request, as in X-Request-Id and the log' }),
  code: z.string().meta({ description: 'stable: what a program may decide by' }),
}).meta({ id: 'Problem', description: 'RFC 9457' });

export interface Listener {
  readonly routes: readonly AppRoute[];
  /** Where it is, when it is not where the document was fetched. */
  readonly url?: string;
}

/**
 * The OpenAPI 3.1 document of the routes that describe themselves. Paths, path parameters and roles come from the routes,
 * so the document cannot tell another story than the code.
 */
export function openApiDocument(listeners: readonly Listener[], version: string): Json {
  const schemas = new Map<string, unknown>();
  const paths: Record<string, Record<string, unknown>> = {};
  for (const { routes, url } of listeners) {
    for (const route of routes) {
      const operation = route.rules.operation as Operation | undefined;
      if (operation === undefined || route.method === 'HEAD') continue;
      const path = (paths[route.url.replaceAll(/:(\w+)/g, '{$1}')] ??= url === undefined ? {} : { servers: [{ url }] });
      path[route.method.toLowerCase()] = describe(route, operation, schemas);
    }
  }
  const problem = schemaOf(problemSchema, schemas, 'output');
  return {
    openapi: '3.1.0',
    info: {
      title: 'Fleetroot', version, license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      description: 'PKI and certificate lifecycle of a vehicle fleet. Every error is application/problem+json with a stable `code`.',
    },
    paths,
    components: {
      schemas: Object.fromEntries([...schemas].sort(([a], [b]) => (a < b ? -1 : 1))),
      securitySchemes: { bearer: { type: 'http', scheme: 'bearer', description: 'A token from POST /v1/principals' } },
      responses: { Problem: { description: 'An error', content: { 'application/problem+json': { schema: problem } } } },
    },
  };
}

function describe(route: AppRoute, operation: Operation, schemas: Map<string, unknown>): Json {
  const { access } = route.rules;
  const roles = Array.isArray(access) ? (access as readonly string[]) : [];
  const by = roles.length === 0 ? undefined : `Roles: ${roles.join(', ')}.`;
  const description = [operation.description, by].filter((part) => part !== undefined).join('\n\n');
  return {
    tags: [operation.tag], summary: operation.summary,
    operationId: operationId(route),
    ...(description === '' ? {} : { description }),
    security: roles.length === 0 ? [] : [{ bearer: [] }],
    ...(roles.length === 0 ? {} : { 'x-roles': roles }),
    ...nonEmpty('parameters', parameters(route.url, operation, schemas)),
    ...(operation.body === undefined ? {} : { requestBody: { required: true, content: contentOf(operation.body, schemas, 'input') } }),
    responses: {
      ...Object.fromEntries(Object.entries(operation.responses).map(([status, response]) => [status, {
        description: response.description,
        ...(response.headers === undefined ? {} : { headers: headersOf(response.headers) }),
        ...(response.content === undefined ? {} : { content: contentOf(response.content, schemas, 'output') }),
      }])),
      default: { $ref: '#/components/responses/Problem' },
    },
  };
}

const operationId = (route: AppRoute): string =>
  `${route.method.toLowerCase()}-${route.url.replaceAll(/[/:]+/g, '-').replace(/^-(?:v1-)?/, '')}`;

const nonEmpty = (name: string, list: readonly unknown[]): Json => (list.length === 0 ? {} : { [name]: list });

const headersOf = (headers: Readonly<Record<string, string>>): Json =>
  Object.fromEntries(Object.entries(headers).map(([name, description]) => [name, { description, schema: { type: 'string' } }]));

function parameters(url: string, operation: Operation, schemas: Map<string, unknown>): Json[] {
  const inPath = [...url.matchAll(/:(\w+)/g)].map(([, name]) => ({ name, in: 'path', required: true, schema: { type: 'string' } }));
  const inHeader = Object.entries(operation.headers ?? {}).map(([name, { description, required }]) => ({ name, in: 'header', required, description, schema: { type: 'string' } }));
  if (operation.query === undefined) return [...inPath, ...inHeader];
  const query = schemaOf(operation.query, schemas, 'input') as { properties?: Record<string, Json>; required?: string[] };
  const inQuery = Object.entries(query.properties ?? {}).map(([name, { description, ...schema }]) => ({
    name, in: 'query', required: query.required?.includes(name) ?? false, ...(description === undefined ? {} : { description }), schema,
  }));
  return [...inPath, ...inQuery, ...inHeader];
}

function contentOf(content: Content, schemas: Map<string, unknown>, io: 'input' | 'output'): Json {
  return Object.fromEntries(Object.entries(content).map(([type, schema]) => {
    if (schema === 'text') return [type, { schema: { type: 'string' } }];
    // OpenAPI 3.1: octets as they are have no schema.
    if (schema === 'octets') return [type, {}];
    return [type, { schema: schemaOf(schema, schemas, io) }];
  }));
}

/** A schema with what it names moved to the document's components. */
function schemaOf(schema: z.ZodType, schemas: Map<string, unknown>, io: 'input' | 'output'): Json {
  const { $schema: _dialect, $defs, ...json } = z.toJSONSchema(schema, {
    io, target: 'draft-2020-12', reused: 'inline',
    override: ({ jsonSchema }) => {
      delete jsonSchema.id;
    },
  }) as { $schema?: string; $defs?: Record<string, Json> } & Record<string, unknown>;
  for (const [name, definition] of Object.entries($defs ?? {})) schemas.set(name, relocated(definition));
  const name = schema.meta()?.id;
  if (name === undefined) return relocated(json) as Json;
  schemas.set(name, relocated(json));
  return { $ref: `#/components/schemas/${name}` };
}

function relocated(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(relocated);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [
    key, key === '$ref' && typeof member === 'string' ? member.replace('#/$defs/', '#/components/schemas/') : relocated(member),
  ]));
}
