import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import { RouteConfig } from '@nestjs/platform-fastify';
import type { FastifyRequest } from 'fastify';

/** Who calls, once the token was accepted. `roles` are of `@fleetroot/access`. */
export interface HttpPrincipal {
  readonly id: number;
  readonly name: string;
  readonly roles: readonly string[];
  /** Names of the CAs that it may have certificates issued by; none, or absent: the installation's issuing CA alone. */
  readonly authorities?: readonly string[];
}

/** What a route declares beside itself. A route without `access` keeps the process from starting. */
export interface RouteRules {
  access?: 'public' | readonly string[];
  /** Longest body, in octets, where it differs from the app's. */
  bodyLimit?: number;
  /** The body arrives, or the answer leaves, as a long stream: the app's time limit does not hold for it. */
  streaming?: boolean;
  /** The handler gets the octets of a JSON body too, in `request.rawBody`. */
  rawBody?: boolean;
  /** Called so often that whose the token is may be a second old. */
  frequent?: boolean;
  /** Logged only where it fails by our fault. */
  quiet?: boolean;
  /** What the app's description of itself (OpenAPI) says of the route. */
  operation?: object;
}

declare module 'fastify' {
  interface FastifyRequest {
    /** undefined on a public route. */
    principal: HttpPrincipal | undefined;
    rawBody: Buffer | undefined;
  }
  interface FastifyContextConfig extends RouteRules {}
}

type AnyDecorator = ClassDecorator & MethodDecorator;

const RULES = Symbol('fleetroot:route-rules');

/** The roles that may call the route; on a class, for each of its routes that says nothing itself. */
export function Roles(...roles: readonly string[]): AnyDecorator {
  return withRules({ access: roles });
}

/** Open to everyone: health, OpenAPI, status and CA material, and what proves itself (that a key is compromised) only. */
export function Public(): AnyDecorator {
  return withRules({ access: 'public' });
}

/** Limits of one route that differ from the app's. */
export function Limits(rules: Omit<RouteRules, 'access'>): AnyDecorator {
  return withRules(rules);
}

/** The caller. Only on routes with `@Roles`. */
export const Caller = createParamDecorator((_: unknown, context: ExecutionContext): HttpPrincipal => {
  const { principal } = context.switchToHttp().getRequest<FastifyRequest>();
  if (principal === undefined) throw new Error('@Caller() on a public route');
  return principal;
});

// One object of rules a method, kept as the Fastify config of its route: the hooks that enforce it run before the body
// is read, which a Nest guard does not.
function withRules(rules: RouteRules): AnyDecorator {
  return (target: object, key?: string | symbol, descriptor?: PropertyDescriptor) => {
    if (key !== undefined && descriptor !== undefined) {
      merge(target, key, descriptor, rules, 'replace');
      return;
    }
    const prototype = (target as { prototype: object }).prototype;
    for (const name of Object.getOwnPropertyNames(prototype)) {
      const method = Object.getOwnPropertyDescriptor(prototype, name);
      if (name !== 'constructor' && typeof method?.value === 'function') merge(prototype, name, method, rules, 'keep');
    }
  };
}

function merge(target: object, key: string | symbol, method: PropertyDescriptor, rules: RouteRules, prefer: 'replace' | 'keep'): void {
  const handler = method.value as object;
  const before = (Reflect.getMetadata(RULES, handler) ?? {}) as RouteRules;
  const merged = prefer === 'replace' ? { ...before, ...rules } : { ...rules, ...before };
  Reflect.defineMetadata(RULES, merged, handler);
  RouteConfig(merged)(target, key, method);
}
