export type { Authenticate } from './access.ts';
export { type AppRoute, createHttpApp, type HttpAppOptions, type RequestOutcome } from './app.ts';
export { type Degraded, type HealthOptions, healthModule, NotReady, readiness } from './health.ts';
export { listen } from './listen.ts';
export { metricsModule } from './metrics.ts';
export { pacedBody, type Pace } from './paced-body.ts';
export { type Problem, PROBLEM_TYPE, problemOf, statusOf } from './problem.ts';
export { Caller, type HttpPrincipal, Limits, Public, Roles, type RouteRules } from './route.ts';
export { ZodPipe } from './zod-pipe.ts';
